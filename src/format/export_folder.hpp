#pragma once
// Makes an ordinary folder from a packed one.

#include <cstdint>
#include <string>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// Writes the packed folder `from` as an ordinary Hugging Face folder with float16, bfloat16 or
// float32 linears. Tensors that are not packed keep their dtype unless `dtype` is float32. In
// config.json quantization_config and the keys for loading packed tensors are removed and the dtype
// is set; README.md becomes a card of this folder (folder_card.hpp). `to` must not exist, or be an
// empty folder. The files are written under another name first: see partial_folder.hpp.
void export_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                   int64_t max_shard_bytes);

}  // namespace bitmill
