#pragma once
// What the replicas of a stage reach each other by.

#include "comm/communicator.hpp"

namespace bitmill {

class Channel;

struct Replicas {
  // Tensors travel through the host's memory, by these words. Not explicit: it is what a
  // communicator alone can do.
  Replicas(Communicator& comm) : words(comm) {}
  // Tensors travel by the channel, which has the same ranks.
  Replicas(Communicator& comm, Channel& channel) : words(comm), tensors(&channel) {}

  Communicator& words;
  Channel* tensors = nullptr;
};

}  // namespace bitmill
