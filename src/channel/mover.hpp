#pragma once
// Moves tensors after sender and receiver have agreed. With this, NCCL (nccl_mover.hpp), or any
// other transport that does not ask the receiver first, becomes a form of Channel. AgreedForm calls
// it.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>

#include "comm/communicator.hpp"

namespace bitmill {

// Within one pair and direction, the k-th send belongs to the k-th receive: both have the same
// number of bytes, and the send is begun after the receive. Between different pairs there is no
// order: in a ring, every rank may begin to receive from the previous rank before any rank begins
// to send. So the transfers of one pair must not wait for those of another. A library that carries
// out the operations of a communicator one after another needs one communicator for each pair.
class Mover {
 public:
  virtual ~Mover() = default;
  // Where tensors must lie.
  virtual at::Device place() const = 0;
  // Both begin without waiting, and never return null. The caller keeps the tensor until the
  // transfer is done, and asks the transfers of one pair and direction in their order.
  virtual std::unique_ptr<Transfer> send(const at::Tensor& value, int to) = 0;
  virtual std::unique_ptr<Transfer> receive(const at::Tensor& room, int from) = 0;
  // Begun by all ranks, with sizes on which they agree. Skips undefined tensors and the own entry.
  virtual std::unique_ptr<Transfer> exchange(std::span<const at::Tensor> to,
                                             std::span<const at::Tensor> from) = 0;
};

}  // namespace bitmill
