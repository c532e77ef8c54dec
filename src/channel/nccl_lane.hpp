#pragma once
// The transfers of one NCCL communicator, one after the other, on a stream of their own. What its
// members do in the same order belongs together. Internal to channel.

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel/nccl_communicator.hpp"
#include "comm/communicator.hpp"
#include "device/cuda_pinned_ring.hpp"

namespace bitmill {

// Seconds in which a rank looked: a rank that computes between two looks does not wait.
class LookedTime {
 public:
  void restart();
  double seconds();  // since restart(); the time between two calls counts as one second at most

 private:
  std::chrono::steady_clock::time_point looked_at_ = std::chrono::steady_clock::now();
  double sum_ = 0;
};

class NcclLane {
 public:
  // What has a limit. The peer of one that receives posts only when it looks at the channel again,
  // which may take as long as what it computes: the watchdog judges that.
  enum class Limit {
    nothing,     // the peer may come much later
    everything,  // the others take part already: they have begun to connect, and have posted
  };
  struct Setting {
    std::string place;  // this rank, its host and device
    std::string doing;  // while it connects: "connecting to rank 2"
    at::Device device;  // current in every call
    double patience_s;
    Limit limit;
  };

  // The other members get `id` from this rank. `telling`: the message that carries it.
  NcclLane(Setting setting, const NcclMembers& members, std::unique_ptr<Transfer> telling,
           std::shared_ptr<const ncclUniqueId> told);
  // The id comes from `from`, over `ids`. This rank is number 0 of two.
  NcclLane(Setting setting, Communicator& ids, int from);
  // Gives up what is under way.
  ~NcclLane();

  // Queues pieces that begin together; what was queued on the current stream comes before them.
  // `doing`: in words, for an error. Without pieces it is done at once.
  std::unique_ptr<Transfer> add(std::vector<NcclPiece> pieces, std::string doing);

 private:
  struct Operation {
    std::vector<NcclPiece> pieces;
    std::string doing;
    UniqueHandle<EventTraits> before, behind;
    bool posted = false, marked = false, through = false;
  };
  class Ticket;

  void move_on();
  // Whether the members are connected, and nothing is on its way to the stream.
  void hear_id();
  void post_all();
  void take_off();
  void check_patience();

  const Setting setting_;
  const c10::cuda::CUDAStream stream_;
  // While the id is under way, in one direction or the other.
  Communicator* const ids_ = nullptr;
  const int id_from_ = 0;
  ncclUniqueId heard_;
  std::unique_ptr<Transfer> hearing_, telling_;
  std::shared_ptr<const ncclUniqueId> told_;

  std::optional<NcclCommunicator> comm_;
  std::deque<std::shared_ptr<Operation>> operations_;  // not through, in their order
  LookedTime still_;                                   // since anything moved
};

}  // namespace bitmill
