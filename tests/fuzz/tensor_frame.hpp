#pragma once
// Repairs the frame of a safetensors file after a mutation. When a mutation adds or removes bytes
// in the header, the length is wrong, and the code behind the check of the length is never reached.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bitmill::fuzz {

// The end of the JSON object at the start of `text`; npos without one.
inline size_t end_of_object(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == '"')
        in_string = false;
    } else if (text[i] == '"') {
      in_string = true;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return text.npos;
}

// The bytes of data that the header asks for, at most `few`; 0 when it is no header.
inline size_t data_bytes_of(std::string_view header) {
  constexpr uint64_t few = 1 << 14;
  const auto json = nlohmann::json::parse(header, nullptr, false);
  uint64_t bytes = 0;
  for (const auto& tensor : json) {
    if (!tensor.is_object()) continue;
    const auto offsets = tensor.find("data_offsets");
    if (offsets == tensor.end() || !offsets->is_array() || offsets->size() != 2) continue;
    if ((*offsets)[1].is_number_unsigned()) {
      bytes = std::max(bytes, std::min(few, (*offsets)[1].get<uint64_t>()));
    }
  }
  return static_cast<size_t>(bytes);
}

// The file with the real length of its header, and as much data as the header asks for.
inline std::string framed(std::string file) {
  if (file.size() < 8) return file;
  const size_t length = end_of_object(std::string_view(file).substr(8));
  if (length == file.npos) return file;
  const uint64_t stored = length;
  std::memcpy(file.data(), &stored, sizeof(stored));
  file.resize(8 + length + data_bytes_of(std::string_view(file).substr(8, length)));
  return file;
}

}  // namespace bitmill::fuzz
