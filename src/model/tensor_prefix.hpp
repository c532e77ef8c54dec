#pragma once
// What the names of a folder's tensors begin with: a part of the family's own prefix may be
// missing, and something of another program's may stand in front of it.

#include <string>
#include <vector>

#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// The family's prefix ("model.decoder."), or its end ("decoder.", "") where an inner part of the
// model was saved alone.
std::string find_tensor_prefix(const TensorFolder& tensors, const Family& family);

// What stands in front of the family's names ("module.", "language_model."); empty where nothing
// does, or the family's names are not there.
std::string find_foreign_prefix(const TensorFolder& tensors, const Family& family);

// Opens the folder with reading.tensor_prefix cut off its names. Where that also takes away the
// first part of the family's prefix ("model.language_model."), this part is put back.
TensorFolder open_tensors(Files& files, const std::string& folder, const ModelReading& reading,
                          const Family& family);
// The same, as far as it can be opened: the rest is added to `problems`.
TensorFolder open_tensors(Files& files, const std::string& folder, const ModelReading& reading,
                          const Family& family, std::vector<std::string>& problems);

}  // namespace bitmill
