#pragma once
// Safetensors files written by hand, so that a test can make wrong ones.

#include <cstdint>
#include <cstring>
#include <string>

namespace bitmill {

// 8 bytes of length, the header as given, `data_bytes` bytes of data: 0, 1, 2, ...
inline std::string safetensors_text(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  text += header;
  for (size_t i = 0; i < data_bytes; ++i) text += static_cast<char>(i);
  return text;
}

// One entry of a header: "name":{...}
inline std::string entry(const std::string& name, const std::string& dtype,
                         const std::string& shape, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

}  // namespace bitmill
