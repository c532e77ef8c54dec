#pragma once
// Whether the tensors of a folder fit its config.json.

#include <string>
#include <vector>

#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// What the stored tensors say about the config: their prefix, and whether head and embedding are
// stored both, or one of them under which name. As in transformers 5: what config.json ties and the
// folder stores twice is not tied.
void resolve_against(const TensorFolder& tensors, ModelConfig& config);

// One sentence for every tensor that is missing, that has another shape or dtype, or that is in a
// block but is none of the family's (a bias, a norm, a fused matrix that nobody would read). Long
// lists are cut. Tensors of shards that could not be opened are not listed. Where all names are
// foreign, one sentence says so, and which --tensor-prefix makes them fit.
std::vector<std::string> tensor_problems(const TensorFolder& tensors, ModelConfig config);

// What the user should know of tensors that fit: those that nobody reads, and those that are
// stored in several shards. REQUIRES: resolve_against().
std::vector<std::string> tensor_notes(const TensorFolder& tensors, const ModelConfig& config);

}  // namespace bitmill
