#include "pipeline/sample_box.hpp"

namespace bitmill {
namespace {

Packet packet_of(const at::Tensor& sample) {
  return {std::make_shared<at::Tensor>(sample),
          {static_cast<std::byte*>(sample.data_ptr()), sample.nbytes()}};
}

}  // namespace

// Only read by who gets it.
Packet SampleBox::read(int64_t i) { return packet_of(stream_->load_kept(i)); }

Packet SampleBox::room() { return packet_of(stream_->room()); }

void SampleBox::keep(int64_t i, const Packet& packet) {
  stream_->store(i, *static_cast<const at::Tensor*>(packet.owner.get()));
}

}  // namespace bitmill
