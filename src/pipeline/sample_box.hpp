#pragma once
// A stream of samples as it travels between stages.

#include <memory>
#include <utility>

#include "model/sample_stream.hpp"
#include "pipeline/stream_link.hpp"

namespace bitmill {

class SampleBox final : public StreamBox {
 public:
  explicit SampleBox(std::shared_ptr<SampleStream> stream) : stream_(std::move(stream)) {}

  const std::shared_ptr<SampleStream>& stream() const { return stream_; }

  int64_t count() const override { return stream_->count(); }
  Packet read(int64_t i) override;
  Packet room() override;
  void keep(int64_t i, const Packet& packet) override;

 private:
  const std::shared_ptr<SampleStream> stream_;
};

}  // namespace bitmill
