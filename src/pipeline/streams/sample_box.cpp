#include "pipeline/streams/sample_box.hpp"

#include <utility>

namespace bitmill {

SampleBox::SampleBox(int block, int turn, Streams streams, const Device* carrier)
    : block_(block), turn_(turn), streams_(std::move(streams)), carrier_(carrier) {}

int64_t SampleBox::count() const { return std::ssize(streams_) * streams_.front()->count(); }

SampleStream& SampleBox::stream_of(int64_t i) const {
  return *streams_[static_cast<size_t>(i / streams_.front()->count())];
}

// The caller must only read the result. While two samples are under way, the one after them is
// prefetched: of large samples, for which this matters, Channel has no more than two under way.
at::Tensor SampleBox::read(int64_t i) {
  const SampleStream& stream = stream_of(i);
  stream.prefetch(place_of(i) + 2);
  return carrier_ == nullptr ? stream.load_kept(place_of(i))
                             : stream.load_kept_on(*carrier_, place_of(i));
}

void SampleBox::keep(int64_t i, const at::Tensor& sample) {
  stream_of(i).store(place_of(i), sample);
}

}  // namespace bitmill
