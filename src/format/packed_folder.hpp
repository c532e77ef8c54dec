#pragma once
// Packed model folders as a whole: checking one, and turning one back into an ordinary folder.

#include <functional>
#include <string>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// What config.json says under quantization_config. FormatError for another quant_method or a
// version that this binary does not understand (naming both).
bool is_packed_folder(Files& files, const std::string& folder);

// Reads every tensor and compares its hash with the recorded one; checks the parts of every
// linear. FormatError naming file and tensor. `progress(bytes_done, bytes_total)` may be empty.
void verify_packed_folder(Files& files, const std::string& folder,
                          const std::function<void(int64_t, int64_t)>& progress);

// Copies every file of `from` except tensors, their index, config.json and weights in other forms
// (*.bin, *.pt, *.gguf, *.h5, *.msgpack) into `to`; links are followed, sub-folders left out.
void copy_companion_files(Files& files, const std::string& from, const std::string& to);

// Packed to an ordinary Hugging Face folder with float16, bfloat16 or float32 linears; everything
// that is not packed keeps its own dtype unless `dtype` is float32. config.json loses its
// quantization_config and says the dtype. Assembled in `to` + ".partial" and renamed.
void export_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                   int64_t max_shard_bytes);

}  // namespace bitmill
