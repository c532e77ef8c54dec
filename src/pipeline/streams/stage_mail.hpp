#pragma once
// Activations and their gradients between neighbouring stages, one sample at a time. Sending never
// waits, so that two stages that send to each other cannot block: what is under way moves on
// whenever this rank waits for something.

#include <ATen/core/Tensor.h>

#include <deque>
#include <map>
#include <memory>

#include "comm/communicator.hpp"

namespace bitmill {

class StageMail {
 public:
  // `comm` outlives it, and is used by nobody else until flush() has returned.
  explicit StageMail(Communicator& comm) : comm_(comm) {}

  // `value` float32; it is kept, and must not be written to, until it has gone.
  void send(const at::Tensor& value, int to);
  // Waits for a tensor of this shape.
  at::Tensor receive(at::IntArrayRef shape, int from);
  // Waits until everything has gone.
  void flush();

 private:
  struct Letter {
    at::Tensor value;
    std::unique_ptr<Transfer> transfer;
  };
  void move_on();

  Communicator& comm_;
  std::map<int, std::deque<Letter>> under_way_;  // by receiver, in the order sent
};

}  // namespace bitmill
