#pragma once
// How the bytes of a Channel move, and how two ranks agree to move them. Only Channel calls a Form.
// The contract of channel.hpp about tensors, ranks and threads holds here, too.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>

#include "comm/communicator.hpp"

namespace bitmill {

class Form {
 public:
  virtual ~Form() = default;

  // The ranks are those of this communicator. Wait (comm/wait.hpp) tells it what this rank waits
  // for.
  virtual Communicator& communicator() = 0;
  // Where tensors must lie.
  virtual at::Device place() const = 0;

  // Offers `value` to rank `to` without waiting. Its bytes move when that rank has accepted it.
  // Channel keeps the tensor until the transfer is done, and asks the transfers of one pair in
  // their order.
  virtual std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) = 0;
  // Accepts, without waiting, the next tensor that `from` has offered; null where it has offered
  // none.
  virtual std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) = 0;
  // As Channel::exchange(), which has checked the arguments.
  virtual void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) = 0;

  // Moves on the messages that the form itself sends beside the tensors. True when all of them have
  // gone.
  virtual bool settled() = 0;
};

}  // namespace bitmill
