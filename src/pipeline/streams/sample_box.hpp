#pragma once
// The streams of a turn as they travel between stages: one behind the other, sample by sample.

#include <memory>
#include <vector>

#include "model/sample_stream.hpp"
#include "pipeline/streams/stream_link.hpp"

namespace bitmill {

class SampleBox final : public StreamBox {
 public:
  using Streams = std::vector<std::shared_ptr<SampleStream>>;

  // At least one; all alike.
  explicit SampleBox(Streams streams);

  const Streams& streams() const { return streams_; }

  int64_t count() const override;
  Packet read(int64_t i) override;
  void keep(int64_t i, const Packet& packet) override;

 private:
  const std::shared_ptr<SampleStream>& stream_of(int64_t packet) const;
  int64_t sample_of(int64_t packet) const { return packet % streams_.front()->count(); }

  const Streams streams_;
};

// For a sample of such a stream.
Packet packet_room(const SampleStream& stream);

}  // namespace bitmill
