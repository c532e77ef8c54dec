#include "pipeline/streams/sample_box.hpp"

#include <utility>

#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// A sample in memory lies in its stream's pages, which stay, also in the budget, as long as the
// packet.
struct Lent {
  std::shared_ptr<SampleStream> stream;
  at::Tensor sample;
};

}  // namespace

SampleBox::SampleBox(Streams streams) : streams_(std::move(streams)) {}

int64_t SampleBox::count() const { return std::ssize(streams_) * streams_.front()->count(); }

const std::shared_ptr<SampleStream>& SampleBox::stream_of(int64_t packet) const {
  return streams_[static_cast<size_t>(packet / streams_.front()->count())];
}

// Only read by who gets it. What follows is asked for while two are under way: of large samples,
// for which it matters, StreamLink has no more.
Packet SampleBox::read(int64_t i) {
  const std::shared_ptr<SampleStream>& stream = stream_of(i);
  stream->prefetch(sample_of(i) + 2);
  const at::Tensor sample = stream->load_kept(sample_of(i));
  return {std::make_shared<Lent>(Lent{stream, sample}), bytes_of(sample)};
}

void SampleBox::keep(int64_t i, const Packet& packet) {
  stream_of(i)->store(sample_of(i), *static_cast<const at::Tensor*>(packet.owner.get()));
}

Packet packet_room(const SampleStream& stream) {
  const at::Tensor room = stream.room();
  return {std::make_shared<at::Tensor>(room), bytes_of(room)};
}

}  // namespace bitmill
