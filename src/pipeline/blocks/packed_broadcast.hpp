#pragma once
// A packed linear of the run folder, which rank 0 alone reads, on every rank.

#include <memory>

#include "comm/communicator.hpp"
#include "format/packed_linear.hpp"
#include "model/family.hpp"

namespace bitmill {

// Collective. `file` on rank 0, else null. FormatError when the sizes are not those of `shape`.
std::shared_ptr<const PackedLinear> broadcast_packed(Communicator& comm,
                                                     const SafetensorsFile* file,
                                                     const LinearShape& shape);

}  // namespace bitmill
