#pragma once
// A form in which two ranks agree before a transfer begins. The sender says "ready" with its number
// of bytes. When the receiver wants a tensor and has heard a "ready", it begins to receive and says
// "go". Then the sender begins to send. So no transfer waits for a rank that does not come: a rank
// that stops says no more "go", and the transfers that were agreed end by themselves. Both words
// are started messages of 8 bytes; nobody waits for them.
//
// All ranks agree on an exchange at once: they tell each other their numbers of bytes. This is said
// in a separate world, so that a rank that still listens for a "ready" does not take the number for
// one.

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
  // Collective over `words`, which outlives this object and which nobody else uses. Ranks are those
  // of `words`.
  AgreedForm(Communicator& words, std::unique_ptr<Mover> mover);
  ~AgreedForm() override;

  Communicator& communicator() override { return words_; }
  at::Device place() const override { return mover_->place(); }
  std::unique_ptr<Transfer> offer(const at::Tensor& value, int to) override;
  std::unique_ptr<Transfer> accept(const at::Tensor& room, int from) override;
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) override;
  bool settled() override;

 private:
  enum class Kind : uint64_t { ready, go };
  // A word of 8 bytes: the tensor's bytes, shifted left by one, and the kind in the lowest bit.
  struct Said {
    uint64_t word;
    std::unique_ptr<Transfer> transfer;
  };
  struct Offer {
    at::Tensor value;
    std::unique_ptr<Transfer> moving = nullptr;  // set after "go"
  };
  class OfferTransfer;
  struct Peer {
    std::deque<Said> said;                         // words that are on their way to this peer
    uint64_t word = 0;                             // the next word from this peer
    std::unique_ptr<Transfer> hearing = nullptr;   // while `word` is on its way
    std::deque<uint64_t> ready;                    // bytes of each tensor that this peer offers
    std::deque<std::shared_ptr<Offer>> offered{};  // to this peer, before its "go"
  };

  void say(int to, Kind kind, uint64_t bytes);
  // Takes the words that the peer has said. For every "go" it begins to send.
  void listen(int from);
  void check_sizes(std::span<const at::Tensor> to, std::span<const at::Tensor> from);

  Communicator& words_;
  const std::unique_ptr<Communicator> sizes_;  // for the numbers of bytes before an exchange
  const std::unique_ptr<Mover> mover_;
  std::map<int, Peer> peers_;
};

}  // namespace bitmill
