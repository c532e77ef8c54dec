#pragma once
// A form in which two ranks agree before anything is begun. The sender says "ready" and how many
// bytes it has. The receiver, when it wants a tensor and a "ready" is there, begins to receive and
// says "go". Then the sender begins to send. So nothing is begun that waits for a rank that does
// not come: one that stops says "go" no more, and what was agreed ends by itself. Both words are
// started messages of 8 bytes, for which nobody waits.
//
// An exchange is agreed by all ranks at once: they tell each other how many bytes they have, in a
// world of its own, so that nobody who still listens for a "ready" takes that for one.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>

#include "channel/form.hpp"
#include "channel/mover.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

class AgreedForm final : public Form {
 public:
  // Collective over `words`, which outlives it; nobody else speaks in it, and ranks are its ranks.
  AgreedForm(Communicator& words, std::unique_ptr<Mover> mover);
  ~AgreedForm() override;

  int rank() const override { return words_.rank(); }
  int size() const override { return words_.size(); }
  std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) override;
  std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) override;
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) override;
  bool settled() override;

 private:
  enum class Kind : uint64_t { ready, go };
  // 8 bytes: the tensor's size, and in the lowest bit the kind.
  struct Said {
    uint64_t word;
    std::unique_ptr<Transfer> transfer;
  };
  struct Offer {
    at::Tensor value;
    std::unique_ptr<Transfer> moving = nullptr;  // from "go" on
  };
  class OfferTransfer;
  struct Peer {
    std::deque<Said> said;                         // words that are under way to it
    uint64_t word = 0;                             // that comes from it
    std::unique_ptr<Transfer> hearing = nullptr;   // while `word` comes
    std::deque<uint64_t> ready;                    // bytes of what it offers
    std::deque<std::shared_ptr<Offer>> offered{};  // to it, without its "go"
  };

  void say(int to, Kind kind, uint64_t bytes);
  // Takes what the peer has said, and begins to send for every "go".
  void listen(int from);
  void check_sizes(std::span<const at::Tensor> to, std::span<const at::Tensor> from);

  Communicator& words_;
  const std::unique_ptr<Communicator> sizes_;  // what is said before an exchange
  const std::unique_ptr<Mover> mover_;
  std::map<int, Peer> peers_;
};

}  // namespace bitmill
