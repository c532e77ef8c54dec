#pragma once
// How `transformers` loads a packed folder: two keys of config.json, and a Python file.
//
// "auto_map" names a class of the file, so that trust_remote_code=True is enough.
// "transformers_weights" names a tensor file that does not exist: transformers from 4.57 on (older
// ones were not tried) then stops with the sentence that the key holds. Without it, transformers
// warns of an unknown quant_method, and loads random numbers into every packed linear. The Python
// file takes the key away before the tensors are looked for.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/files.hpp"

namespace bitmill {

inline constexpr std::string_view python_file_name = "modeling_bitmill.py";

// The text of src/python/bitmill/modeling_bitmill.py. Made by CMake.
std::string_view embedded_python_file();

// Adds the two keys to config.json of a packed folder. An auto_map of the model's own is kept in
// quantization_config.bitmill.source_auto_map. May be called again. REQUIRES: `config` has an
// object quantization_config.
void add_loading_keys(nlohmann::json& config);

// Makes of such a config.json what it was, quantization_config's record included, whichever version
// of bitmill wrote the keys. Leaves keys of these names alone that are not bitmill's.
void remove_loading_keys(nlohmann::json& config);

// Writes the Python file into `folder`.
void write_python_file(Files& files, const std::string& folder);

}  // namespace bitmill
