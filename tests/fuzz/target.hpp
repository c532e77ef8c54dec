#pragma once
// What all fuzz targets use. An input may be refused with an Error, but with nothing else.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "fuzz/folder_text.hpp"
#include "memory_files.hpp"

namespace bitmill::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Any other exception counts as a crash: a user would see "unexpected", and not what to do.
template <class Step>
void may_refuse(Step step) {
  try {
    step();
  } catch (const Error&) {
  }
}

// Puts every file of the input below `folder`. Leaves out names that would lead out of it.
inline void put_folder(MemoryFiles& files, const std::string& folder, std::string_view input) {
  files.make_directories(folder);
  for (const auto& [name, content] : read_folder(input)) {
    const bool plain = !name.empty() && !name.starts_with('/') && !name.ends_with('/') &&
                       name.find("..") == name.npos && name.find('\0') == name.npos;
    if (plain) files.put(join_path(folder, name), content);
  }
}

}  // namespace bitmill::fuzz
