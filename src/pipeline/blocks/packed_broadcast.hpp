#pragma once
// Only rank 0 reads the run folder; this gives a packed linear of it to every rank.

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
