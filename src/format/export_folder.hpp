#pragma once
// Makes an ordinary folder from a packed one. Also copies the files without weights, which every
// folder gets from the folder that it is made from.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// Copies every file of `from` into `to`, except tensors, their index, config.json and weights in
// other formats (*.bin, *.pt, *.pth, *.gguf, *.h5, *.msgpack, *.onnx). Follows links, and leaves
// out sub-folders.
void copy_companion_files(Files& files, const std::string& from, const std::string& to);
// One sentence for each file that copy_companion_files() could not copy: it cannot be opened, or is
// no regular file.
std::vector<std::string> companion_problems(Files& files, const std::string& from);

// Writes the packed folder `from` as an ordinary Hugging Face folder with float16, bfloat16 or
// float32 linears. Tensors that are not packed keep their dtype unless `dtype` is float32. In
// config.json quantization_config is removed and the dtype is set. `to` must not exist, or be an
// empty folder. The files are written under another name first: see partial_folder.hpp.
void export_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                   int64_t max_shard_bytes);

}  // namespace bitmill
