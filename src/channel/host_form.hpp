#pragma once
// Tensors in the host's memory, through a Communicator. Its started messages are offer and
// acceptance already: MPI announces what is longer than a few kilobytes, and moves it when the
// receiver has taken the announcement. A "ready" and a "go" of our own before that would cost every
// tensor one more turn of both ranks, which may each train a step between two calls.

#include "channel/form.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

class HostForm final : public Form {
 public:
  // `comm` outlives it, and nobody else speaks in it.
  explicit HostForm(Communicator& comm) : comm_(comm) {}

  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) override;
  std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) override;
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) override;
  bool settled() override { return true; }  // it says nothing beside the tensors

 private:
  Communicator& comm_;
};

}  // namespace bitmill
