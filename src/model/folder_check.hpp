#pragma once
// Whether the tensors of a folder fit its config.json.

#include <string>
#include <vector>

#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// What the folder's tensor names begin with: the family's prefix ("model.decoder."), or its end
// ("decoder.", "") where an inner part of the model was saved alone.
std::string find_tensor_prefix(const TensorFolder& tensors, const Family& family);

// One sentence for every tensor that is missing, that has another shape or dtype, or that is in a
// block but is none of the family's (a bias, a norm, a fused matrix that nobody would read). Long
// lists are cut. Tensors of shards that could not be opened are not listed.
std::vector<std::string> tensor_problems(const TensorFolder& tensors, ModelConfig config);

}  // namespace bitmill
