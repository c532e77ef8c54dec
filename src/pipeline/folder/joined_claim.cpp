#include "pipeline/folder/joined_claim.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <span>

namespace bitmill {
namespace {

// What another rank needs to join rank 0's claim and write to the run folder.
struct JoiningPass {
  int generation = 0;
  std::array<char, 64> token = {};
};

}  // namespace

std::unique_ptr<Claim> broadcast_claim(Communicator& comm, const std::string& work_dir,
                                       Files& files, const RunSession* session, bool joins) {
  JoiningPass pass;
  if (session != nullptr) {
    const Claim::Pass own = session->pass();
    pass.generation = own.generation;
    assert(own.token.size() < pass.token.size());
    std::copy(own.token.begin(), own.token.end(), pass.token.begin());
  }
  comm.broadcast(std::as_writable_bytes(std::span(&pass, 1)), 0);
  if (!joins) return nullptr;
  return Claim::join(files, work_dir, {pass.generation, pass.token.data()});
}

}  // namespace bitmill
