#include "channel/agreed_form.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.hpp"
#include "comm/wait.hpp"

namespace bitmill {

class AgreedForm::OfferTransfer final : public Transfer {
 public:
  OfferTransfer(AgreedForm& form, std::shared_ptr<Offer> offer, int to)
      : form_(form), offer_(std::move(offer)), to_(to) {}

  // Listens for every "go" that is here, even for later tensors, so that agreed transfers begin at
  // once.
  bool done() override {
    if (!form_.peers_[to_].offered.empty()) form_.listen(to_);
    return offer_->moving && offer_->moving->done();
  }

 private:
  AgreedForm& form_;
  const std::shared_ptr<Offer> offer_;
  const int to_;
};

AgreedForm::AgreedForm(Communicator& words, std::unique_ptr<Mover> mover)
    : words_(words), sizes_(words.split(0)), mover_(std::move(mover)) {}

AgreedForm::~AgreedForm() = default;

std::unique_ptr<Transfer> AgreedForm::offer(const at::Tensor& value, int to) {
  auto offer = std::make_shared<Offer>(Offer{value});
  peers_[to].offered.push_back(offer);
  say(to, Kind::ready, value.nbytes());
  return std::make_unique<OfferTransfer>(*this, std::move(offer), to);
}

std::unique_ptr<Transfer> AgreedForm::accept(const at::Tensor& room, int from) {
  listen(from);
  std::deque<uint64_t>& ready = peers_[from].ready;
  if (ready.empty()) return nullptr;
  const uint64_t bytes = ready.front();
  ready.pop_front();
  BITMILL_CHECK(bytes == room.nbytes(), CommError,
                fmt::format("rank {} of {}: rank {} sent {} bytes where {} were expected",
                            words_.rank(), words_.size(), from, bytes, room.nbytes()));
  auto moving = mover_->receive(room, from);
  say(from, Kind::go, bytes);
  return moving;
}

void AgreedForm::exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) {
  check_sizes(to, from);
  const auto own = static_cast<size_t>(words_.rank());
  if (from[own].defined() && from[own].nbytes() > 0) {
    from[own].view({-1}).copy_(to[own].view({-1}));
  }
  const auto moving = mover_->exchange(to, from);
  for (Wait wait(words_, "an exchange of tensors with all ranks"); !moving->done();) wait();
}

// When this returns, all ranks have called it.
void AgreedForm::check_sizes(std::span<const at::Tensor> to, std::span<const at::Tensor> from) {
  const auto ranks = static_cast<size_t>(words_.size());
  std::vector<uint64_t> mine(ranks), theirs(ranks);
  std::vector<std::span<const std::byte>> out(ranks);
  std::vector<std::span<std::byte>> in(ranks);
  for (size_t p = 0; p < ranks; ++p) {
    mine[p] = to[p].defined() ? to[p].nbytes() : 0;
    out[p] = std::as_bytes(std::span(&mine[p], 1));
    in[p] = std::as_writable_bytes(std::span(&theirs[p], 1));
  }
  sizes_->exchange(out, in);
  for (size_t p = 0; p < ranks; ++p) {
    const uint64_t room = from[p].defined() ? from[p].nbytes() : 0;
    BITMILL_CHECK(theirs[p] == room, CommError,
                  fmt::format("exchange on rank {} of {}: rank {} sent {} bytes where {} were "
                              "expected",
                              words_.rank(), ranks, p, theirs[p], room));
  }
}

bool AgreedForm::settled() {
  bool all = true;
  for (auto& [rank, peer] : peers_) {
    while (!peer.said.empty() && peer.said.front().transfer->done()) peer.said.pop_front();
    all = all && peer.said.empty();
  }
  return all;
}

void AgreedForm::say(int to, Kind kind, uint64_t bytes) {
  std::deque<Said>& said = peers_[to].said;
  while (!said.empty() && said.front().transfer->done()) said.pop_front();
  said.push_back({bytes << 1 | static_cast<uint64_t>(kind), nullptr});
  said.back().transfer = words_.start_send(std::as_bytes(std::span(&said.back().word, 1)), to);
}

void AgreedForm::listen(int from) {
  Peer& peer = peers_[from];
  const auto room = std::as_writable_bytes(std::span(&peer.word, 1));
  while (true) {
    if (!peer.hearing) peer.hearing = words_.start_receive(room, from);
    if (!peer.hearing || !peer.hearing->done()) return;
    peer.hearing.reset();
    const uint64_t bytes = peer.word >> 1;
    if (static_cast<Kind>(peer.word & 1) == Kind::ready) {
      peer.ready.push_back(bytes);
      continue;
    }
    BITMILL_CHECK(!peer.offered.empty() && peer.offered.front()->value.nbytes() == bytes, CommError,
                  fmt::format("rank {} of {}: rank {} agreed to {} bytes that were not offered",
                              words_.rank(), words_.size(), from, bytes));
    Offer& first = *peer.offered.front();
    first.moving = mover_->send(first.value, from);
    peer.offered.pop_front();
  }
}

}  // namespace bitmill
