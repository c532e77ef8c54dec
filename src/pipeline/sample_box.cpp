#include "pipeline/sample_box.hpp"

#include <utility>

namespace bitmill {
namespace {

Packet packet_of(const at::Tensor& sample) {
  return {std::make_shared<at::Tensor>(sample),
          {static_cast<std::byte*>(sample.data_ptr()), sample.nbytes()}};
}

}  // namespace

SampleBox::SampleBox(Streams streams) : streams_(std::move(streams)) {}

int64_t SampleBox::count() const { return std::ssize(streams_) * streams_.front()->count(); }

SampleStream& SampleBox::stream_of(int64_t packet) const {
  return *streams_[static_cast<size_t>(packet / streams_.front()->count())];
}

// Only read by who gets it. What follows is asked for while two are under way: of large samples,
// for which it matters, StreamLink has no more.
Packet SampleBox::read(int64_t i) {
  SampleStream& stream = stream_of(i);
  stream.prefetch(sample_of(i) + 2);
  return packet_of(stream.load_kept(sample_of(i)));
}

void SampleBox::keep(int64_t i, const Packet& packet) {
  stream_of(i).store(sample_of(i), *static_cast<const at::Tensor*>(packet.owner.get()));
}

Packet packet_room(const SampleStream& stream) { return packet_of(stream.room()); }

}  // namespace bitmill
