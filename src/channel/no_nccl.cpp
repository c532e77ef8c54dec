// Of a build without CUDA: tensors travel through the host's memory.

#include "base/error.hpp"
#include "channel/nccl.hpp"

namespace bitmill {

std::string nccl_version() { return ""; }

std::unique_ptr<Form> nccl_form(Communicator& /*comm*/, const Device& /*device*/,
                                NcclPatience /*patience*/) {
  throw UsageError(
      "this bitmill was built without NCCL; cmake --preset cuda builds one with it (README.md)");
}

}  // namespace bitmill
