#include "pipeline/sample_box.hpp"

#include <ATen/ops/empty.h>

#include <span>

namespace bitmill {
namespace {

Packet packet_of(const at::Tensor& sample) {
  return {std::make_shared<at::Tensor>(sample),
          std::as_writable_bytes(std::span(sample.data_ptr<float>(), sample.numel()))};
}

}  // namespace

// Only read by who gets it.
Packet SampleBox::read(int64_t i) { return packet_of(stream_->load(i)); }

Packet SampleBox::room() { return packet_of(at::empty({seq_len_, hidden_}, at::kFloat)); }

void SampleBox::keep(int64_t i, const Packet& packet) {
  stream_->store(i, *static_cast<const at::Tensor*>(packet.owner.get()));
}

}  // namespace bitmill
