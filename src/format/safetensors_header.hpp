#pragma once
// Reads and checks the header of a safetensors file:
//
//   8 bytes   n, little-endian
//   n bytes   JSON: tensor name -> dtype, shape, data_offsets [first, last + 1)
//   the rest  data: every byte belongs to exactly one tensor; data_offsets count from its start
//
// A wrong header could make us read at any place. So nothing in it is used before it was compared
// with the size of the file.

#include <cstdint>
#include <map>
#include <string>

#include "base/files.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

inline constexpr int64_t header_length_bytes = 8;
inline constexpr int64_t longest_header = 100'000'000;  // the limit of the safetensors package
inline constexpr const char* metadata_key = "__metadata__";
inline constexpr const char* single_file_name = "model.safetensors";
inline constexpr const char* index_file_name = "model.safetensors.index.json";

struct SafetensorsHeader {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

// FormatError naming file, tensor and both values that disagree.
SafetensorsHeader read_safetensors_header(const InputFile& file);

}  // namespace bitmill
