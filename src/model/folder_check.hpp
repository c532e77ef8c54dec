#pragma once
// Does what a folder holds fit its config.json?

#include <string>
#include <vector>

#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// What the folder's tensor names begin with: the family's prefix ("model.decoder."), or what is
// left of it ("decoder.", "") where a model was saved without what stands around it.
std::string find_tensor_prefix(const TensorFolder& tensors, const Family& family);

// Everything that is missing, has another shape or dtype, or stands in a block without being one of
// the family's: a bias, a norm, a fused matrix that nobody would read. A sentence each; long lists
// end early. Nothing about tensors of shards that could not be opened.
std::vector<std::string> tensor_problems(const TensorFolder& tensors, ModelConfig config);

}  // namespace bitmill
