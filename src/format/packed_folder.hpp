#pragma once
// Packed model folders as a whole: checking one, and turning one back into an ordinary folder.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// The value of quantization_config.quant_method in config.json.
inline constexpr std::string_view quant_method = "ptq161";

// What config.json says under quantization_config. FormatError for another quant_method or a
// version that this binary does not understand (naming both).
bool is_packed_folder(Files& files, const std::string& folder);

// Checks that the files belong together (packed_seal.hpp), reads every tensor and compares its hash
// with the recorded one, and checks the parts of every linear. FormatError naming file and tensor.
// Reads every tensor once, but masks, which are small and tell the shapes. Returns the hash of
// every tensor by its name. `progress(bytes_done, bytes_total)` may be empty; it counts the bytes
// of tensors.
std::map<std::string, std::string> verify_packed_folder(
    Files& files, const std::string& folder, const std::function<void(int64_t, int64_t)>& progress);

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
