#include "comm/self_communicator.hpp"

#include "comm/call_check.hpp"

namespace bitmill {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int job_rank(int rank) const override { return rank; }

  void barrier() override {}
  void broadcast(std::span<std::byte> /*data*/, int root) override {
    check_rank(*this, "broadcast", root);
  }
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    copy_own_entry(*this, to, from);
  }
  // There is no peer, so these always throw.
  void send(std::span<const std::byte> /*data*/, int to) override { check_peer(*this, "send", to); }
  void receive(std::span<std::byte> /*data*/, int from) override {
    check_peer(*this, "receive", from);
  }
  std::unique_ptr<Transfer> start_send(std::span<const std::byte> /*data*/, int to) override {
    check_peer(*this, "start_send", to);
    return nullptr;
  }
  std::unique_ptr<Transfer> start_receive(std::span<std::byte> /*data*/, int from) override {
    check_peer(*this, "start_receive", from);
    return nullptr;
  }
  std::unique_ptr<Communicator> split(int /*color*/) override { return self_communicator(); }
};

}  // namespace

std::unique_ptr<Communicator> self_communicator() { return std::make_unique<SelfCommunicator>(); }

}  // namespace bitmill
