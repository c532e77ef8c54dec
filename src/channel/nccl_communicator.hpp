#pragma once
// Owns one communicator of NCCL. Whatever happens, the end is ncclCommAbort: by then all has moved,
// or nobody waits for it any more. It has a limit of five seconds, for all communicators of the
// process together. One that does not return by then is left behind, and a job that ended well has
// ended well. Nothing else here waits. Internal to channel.

#include <nccl.h>

#include <span>
#include <string>

#include "base/handle.hpp"

namespace bitmill {

// One half of a transfer, in this rank's memory of the device. `peer`: within the communicator.
struct NcclPiece {
  bool sends;
  int peer;
  void* data;
  size_t bytes;
};

struct NcclMembers {
  ncclUniqueId id;
  int ranks;
  int rank;  // of this process
};

class NcclCommunicator {
 public:
  // Begins to connect the members, of the calling thread's current device. `place` and `doing`: as
  // for check_nccl().
  NcclCommunicator(const NcclMembers& members, std::string place, std::string doing);

  // Whether all are connected, and what was posted is queued on its stream. Throws what NCCL has
  // found out meanwhile. To be asked again and again while a transfer is under way.
  bool ready();
  // Begins all pieces together, behind what is queued on `stream`. NCCL moves, it never adds. The
  // memory may be used again when the stream has come through. REQUIRES: ready().
  void post(std::span<const NcclPiece> pieces, cudaStream_t stream, const std::string& doing);

 private:
  struct Traits {
    using Type = ncclComm_t;
    static Type null() { return nullptr; }
    static void destroy(Type comm);
  };

  const std::string place_;
  std::string doing_;
  bool connected_ = false;  // ready() was true once
  UniqueHandle<Traits> comm_;
};

// Of the calling process, to be given to all members. CommError.
ncclUniqueId new_nccl_id(const std::string& place);

}  // namespace bitmill
