#pragma once
// Puts into a folder that bitmill has written what other tools and their users need: the model card
// and, where it is packed, the Python file. The room handover has the parts.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// What config.json of a packed folder records of the 16-bit `model` folder it is made from:
// {"name": its folder's name, "hub_id": its name on the Hugging Face Hub}, the second only where
// the path is one of the Hub's cache. Bytes of the name that are not UTF-8 are replaced. For a
// folder that preprocess made, what that one records, and "preprocessed": true.
nlohmann::json base_model_record(Files& files, const std::string& model);

// For a packed folder whose tensors and config.json are written and into which the files of
// its source were copied. Sets the source's card aside, writes our own and the Python file.
void complete_packed_folder(Files& files, const std::string& folder);

// The same for the folder that was exported from `packed`, with linears of `dtype`.
void complete_exported_folder(Files& files, const std::string& packed, const std::string& folder,
                              Dtype dtype);

// The same for a folder that `preprocess` made; `record`: what its config.json tells of that.
void complete_preprocessed_folder(Files& files, const std::string& folder,
                                  const nlohmann::json& record);

// Records in the config.json of a packed folder what was measured with it, and writes the card
// again: {"text", "windows", "seq_len", "perplexity", "perplexity_original"}, and perhaps "kl" and
// "top1". Writes nothing where that is recorded already. FormatError where the config was edited
// after it was sealed; a damage of the other files stays for check_seal() to find.
void record_measured(Files& files, const std::string& folder, const nlohmann::json& figures);
// Takes that record out of the config of a result whose tensors are not those of the folder that
// the config comes from.
void forget_measured(nlohmann::json& config);

}  // namespace bitmill
