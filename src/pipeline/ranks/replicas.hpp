#pragma once
// What the replicas of a stage reach each other by.

#include "comm/communicator.hpp"

namespace bitmill {

class Channel;

struct Replicas {
  // Tensors travel through the host's memory, by `words`.
  Replicas(Communicator& words) : words(words) {}  // NOLINT: one is as good as the other
  // Tensors travel by the channel, which has the same ranks, where it takes them from a GPU.
  Replicas(Communicator& words, Channel& tensors) : words(words), tensors(&tensors) {}

  Communicator& words;
  Channel* tensors = nullptr;
};

}  // namespace bitmill
