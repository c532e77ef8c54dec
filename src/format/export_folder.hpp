#pragma once
// From a packed folder back to an ordinary one, and what every folder made from another takes over.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// Copies every file of `from` except tensors, their index, config.json and weights in other forms
// (*.bin, *.pt, *.pth, *.gguf, *.h5, *.msgpack, *.onnx) into `to`; links are followed, sub-folders
// left out.
void copy_companion_files(Files& files, const std::string& from, const std::string& to);
// The files that it would fail on, as a sentence each: what cannot be opened, and what is no file.
std::vector<std::string> companion_problems(Files& files, const std::string& from);

// Packed to an ordinary Hugging Face folder with float16, bfloat16 or float32 linears; everything
// that is not packed keeps its own dtype unless `dtype` is float32. config.json loses its
// quantization_config and says the dtype. `to` must not exist, or be an empty folder. Assembled
// beside it and renamed: see partial_folder.hpp.
void export_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                   int64_t max_shard_bytes);

}  // namespace bitmill
