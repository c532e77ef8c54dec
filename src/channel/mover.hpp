#pragma once
// Moves tensors whose sender and receiver have both agreed to it: what NCCL, or any other transport
// that does not ask, needs to become a form of Channel. AgreedForm calls it.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>

#include "comm/communicator.hpp"

namespace bitmill {

// Of a pair and direction the k-th send belongs to the k-th receive, of as many bytes, and is begun
// after it. Between different pairs there is no order: round a ring every rank may begin to receive
// from the one before it before any of them begins to send. So what one pair does must not wait for
// what another does; a library that carries out a communicator's operations one after another needs
// a communicator for every pair.
class Mover {
 public:
  virtual ~Mover() = default;
  // Begin without waiting; never null. The tensor is kept until the transfer is done, and the
  // transfers of one pair and direction are asked in their order.
  virtual std::unique_ptr<Transfer> send(const at::Tensor& value, int to) = 0;
  virtual std::unique_ptr<Transfer> receive(const at::Tensor& room, int from) = 0;
  // Begun by all ranks, with sizes on which they agree; undefined tensors and the own entry are
  // left alone.
  virtual std::unique_ptr<Transfer> exchange(std::span<const at::Tensor> to,
                                             std::span<const at::Tensor> from) = 0;
};

}  // namespace bitmill
