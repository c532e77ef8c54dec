#pragma once
// What ties the files of a packed folder to one another: config.json holds hashes of every file
// that decides what the folder means, so that one which was edited, damaged, or taken from another
// model is known. FORMAT.md has the bytes.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// Writes folder/config.json: `config`, which has a quantization_config, with hashes of itself and
// of the files that are there. REQUIRES: tensors, index and tokenizer are in the folder.
void write_sealed_config(Files& files, const std::string& folder, nlohmann::json config);

// FormatError naming every file that is not the one that config.json was written for, one a line.
// Reads headers of tensor files only: their data is what the hashes in the headers are for.
void check_seal(Files& files, const TensorFolder& tensors);

}  // namespace bitmill
