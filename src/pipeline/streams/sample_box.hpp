#pragma once
// The streams of a turn as they travel between stages: one stream after the other, sample by
// sample.

#include <memory>
#include <vector>

#include "model/sample_stream.hpp"
#include "pipeline/streams/stream_link.hpp"

namespace bitmill {

class SampleBox final : public StreamBox {
 public:
  using Streams = std::vector<std::shared_ptr<SampleStream>>;

  // For `block` at `turn`. At least one stream; all have the same count, shape and dtype.
  // `carrier`: the GPU from which samples travel (MeshRank::carrier()); null: from the host's
  // memory.
  SampleBox(int block, int turn, Streams streams, const Device* carrier = nullptr);

  int block() const { return block_; }
  int turn() const { return turn_; }
  const Streams& streams() const { return streams_; }

  int64_t count() const override;
  at::Tensor read(int64_t i) override;
  void keep(int64_t i, const at::Tensor& sample) override;

 private:
  SampleStream& stream_of(int64_t i) const;
  int64_t place_of(int64_t i) const { return i % streams_.front()->count(); }  // in its stream

  const int block_, turn_;
  const Streams streams_;
  const Device* const carrier_;
};

}  // namespace bitmill
