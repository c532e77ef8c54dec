#pragma once
// Makes sure that the files of a packed folder belong together. config.json holds a hash of every
// file that the model depends on, so that a file which was edited, damaged, or taken from another
// model is found. FORMAT.md has the bytes.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// Writes `config` to folder/config.json, with hashes of itself and of the files in the folder.
// REQUIRES: `config` has a quantization_config; tensors, index and tokenizer are in the folder.
void write_sealed_config(Files& files, const std::string& folder, nlohmann::json config);

// config.json of a sealed folder, to be changed and given to write_resealed_config(). FormatError
// where it has no seal, or its own hash is not that of the seal.
nlohmann::json read_sealed_config(Files& files, const std::string& folder);
// Writes it with a new hash of itself. The hashes of the other files stay as they were recorded: a
// file that is damaged by now is still found. REQUIRES: `config` is of read_sealed_config().
void write_resealed_config(Files& files, const std::string& folder, nlohmann::json config);

// FormatError naming every file that differs from the file for which config.json was written, one
// per line. Of tensor files it reads the headers only, which hold the hashes of the data.
void check_seal(Files& files, const TensorFolder& tensors);

}  // namespace bitmill
