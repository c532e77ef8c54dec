#pragma once
// Tensors from GPU to GPU by NCCL. A build without CUDA has no_nccl.cpp in its place.

#include <memory>
#include <string>

#include "channel/form.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"

namespace bitmill {

// Of the library that this process has loaded: "2.28.9". Empty in a build without it.
std::string nccl_version();

// How long a connection or an exchange may take in which the others take part already.
struct NcclPatience {
  double seconds = 150;
};

// Collective over `comm`, which outlives the form, and which nobody else uses. Every rank has a GPU
// of its own: NCCL refuses two ranks on one. Tensors lie on `device`, which outlives the form and
// is the calling thread's current one in every call.
//
// A sender whose receiver has begun to connect or to receive, and a rank in an exchange, give up
// `patience` after the GPU has come to it: PeerLostError. A neighbour that does not come is waited
// for, and who waits says so (comm/wait.hpp).
// UsageError in a build without NCCL.
std::unique_ptr<Form> nccl_form(Communicator& comm, const Device& device, NcclPatience patience);

}  // namespace bitmill
