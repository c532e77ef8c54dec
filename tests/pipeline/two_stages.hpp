#pragma once
// Two stages of one replica, as threads. Between them a message waits for its receiver.

#include <functional>

#include "comm/thread_communicator.hpp"
#include "comm/waiting_communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// What a test sees of the stage that it is on.
struct Stage {
  MeshRank& rank;
  Traffic& traffic;
  Communicator& world;

  bool sends() const { return rank.stage() == 0; }
  void meet() const { world.barrier(); }
};

inline void on_two_stages(const std::function<void(const Stage&)>& body) {
  Traffic traffic;
  run_ranks(2, [&](Communicator& threads) {
    WaitingCommunicator world(threads, traffic);
    MeshRank rank({2, 1}, world);
    body({rank, traffic, world});
    world.barrier();  // a rank that left could not be asked for messages
  });
}

}  // namespace bitmill
