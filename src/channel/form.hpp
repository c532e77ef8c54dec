#pragma once
// How the bytes of a Channel move, and how two ranks agree that they move. Only Channel calls it;
// the contract of channel.hpp about tensors, ranks and threads holds here too.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>

#include "comm/communicator.hpp"

namespace bitmill {

class Form {
 public:
  virtual ~Form() = default;

  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;

  // Offers `value` without waiting. Its bytes move when the other side has accepted it. Channel
  // keeps it until the transfer is done, and asks the transfers of one pair in their order.
  virtual std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) = 0;
  // Accepts the next tensor that `from` has offered, without waiting: null where it offers nothing.
  virtual std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) = 0;
  // As Channel::exchange(), whose arguments are checked.
  virtual void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) = 0;

  // Moves on what the form itself says beside the tensors; true when all of it is through.
  virtual bool settled() = 0;
};

}  // namespace bitmill
