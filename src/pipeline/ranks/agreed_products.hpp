#pragma once
// One algorithm of cublasLt for each product of a job, on all ranks: rank 0 has them chosen before
// the work begins, and tells the others. Another algorithm would add up in another order.

#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "device/device.hpp"

namespace bitmill {

// While it lives, this rank's GPU uses the agreed algorithms and no others.
class AgreedProducts {
 public:
  // Collective over `comm`. `rehearse` carries out every product of the job once, with any numbers:
  // on rank 0, and with --allow-mixed-hardware on the first rank of every other kind of GPU, which
  // chooses for its kind. On a CPU it is not called. `numerics_class`: of this rank, without
  // algorithms; empty on a rank without work, which takes no part.
  AgreedProducts(Communicator& comm, const Device& device, const std::string& numerics_class,
                 const std::function<void()>& rehearse);
  ~AgreedProducts();
  AgreedProducts(const AgreedProducts&) = delete;
  AgreedProducts& operator=(const AgreedProducts&) = delete;

  // The numerics classes of the ranks with work, rank 0's first, each once. On a GPU a class ends
  // with a hash of the algorithms: where cublasLt chooses others, a run is not gone on with.
  const std::vector<std::string>& classes() const { return classes_; }

 private:
  const Device& device_;
  bool keeps_ = false;
  std::vector<std::string> classes_;
};

}  // namespace bitmill
