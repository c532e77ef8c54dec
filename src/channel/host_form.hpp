#pragma once
// Sends tensors in the host's memory through a Communicator. Its started messages already are an
// offer and an acceptance: MPI announces a message longer than a few kilobytes, and moves it when
// the receiver has taken the announcement. So HostForm says no "ready" and "go" of its own. They
// would cost every tensor one more call on both ranks, and between two calls a rank may train a
// step.

#include "channel/form.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

class HostForm final : public Form {
 public:
  // `comm` outlives this object, and nobody else uses it.
  explicit HostForm(Communicator& comm) : comm_(comm) {}

  Communicator& communicator() override { return comm_; }
  at::Device place() const override { return at::kCPU; }
  std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) override;
  std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) override;
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) override;
  bool settled() override { return true; }  // it sends nothing beside the tensors

 private:
  Communicator& comm_;
};

}  // namespace bitmill
