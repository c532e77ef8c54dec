#pragma once
// Packed model folders as a whole: recognizes and checks them.

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// The value of quantization_config.quant_method in config.json.
inline constexpr std::string_view quant_method = "ptq161";

// Whether config.json has a quantization_config. FormatError when it has another quant_method, or a
// version that this binary does not understand (naming both versions).
bool is_packed_folder(Files& files, const std::string& folder);

// The keys of the 16-bit model's config.json that nobody knew and that the user allowed when the
// folder was made (--allow-key). `config`: config.json of a packed folder. FormatError when it does
// not hold a list of strings there.
std::vector<std::string> recorded_allowed_keys(const nlohmann::json& config);

// Checks that the files belong together (packed_seal.hpp), reads every tensor and compares its hash
// with the recorded one, and checks the parts of every linear. FormatError naming file and tensor.
// Reads every tensor once; only masks, which are small, are read once more, for the shapes. Returns
// the hash of every tensor by its name. `progress(bytes_done, bytes_total)` may be empty; it counts
// the bytes of tensors.
std::map<std::string, std::string> verify_packed_folder(
    Files& files, const std::string& folder, const std::function<void(int64_t, int64_t)>& progress);

}  // namespace bitmill
