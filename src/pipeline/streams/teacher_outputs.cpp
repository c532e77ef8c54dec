#include "pipeline/streams/teacher_outputs.hpp"

#include <fmt/format.h>

#include <vector>

#include "channel/channel.hpp"
#include "device/device_full.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {
namespace {

// No rate is the cause of what the original computes.
StreamOrigin teacher_origin(int64_t block, int64_t window) {
  return {"block", block, "window", window,
          "the original overflows float32 there, or is damaged; no rate is the cause"};
}

std::unique_ptr<SampleStream> compute(const SourceModel& teacher, const Windows& windows,
                                      std::span<const int64_t> own, StreamBudget& budget,
                                      const Device& device,
                                      const std::function<void()>& block_done) {
  const auto count = std::ssize(own);
  auto stream =
      std::make_unique<SampleStream>(budget, count, windows.seq_len, teacher.config().hidden_size);
  device.host().parallel_for(count, [&](int64_t i) {
    stream->store(i, teacher.embed(windows.window(own[i])), teacher_origin(-1, own[i]));
  });
  const Rotary rotary = on_device(make_rotary(teacher.config(), windows.seq_len), device);
  for (int64_t block = 0; block < teacher.config().blocks; ++block) {
    if (count > 0) {
      BlockWeights weights;
      at_place(fmt::format("the original's weights of block {}", block),
               [&] { weights = load_on(device, teacher, block); });
      device.for_units(count, [&](int64_t i) {
        stream->prefetch(i + device.lanes());  // the one that a lane takes next
        at_place(fmt::format("the original's forward pass of block {}, window {}", block, own[i]),
                 [&] {
                   const at::Tensor x = device.bring(stream->load(i));
                   stream->store(i,
                                 device.fetch(dense_block_forward(teacher.config(), weights, rotary,
                                                                  x, device.host())),
                                 teacher_origin(block, own[i]));
                 });
      });
    }
    block_done();
  }
  return stream;
}

// Reads a sample, perhaps from disk, only when the channel has place for it.
void send_all(const SampleStream& stream, Channel& channel, const Device* carrier, int to) {
  const size_t bytes = stream.room().nbytes();
  for (int64_t i = 0; i < stream.count(); ++i) {
    channel.wait_for_place(bytes, to);
    channel.start_send(carrier == nullptr ? stream.load_kept(i) : stream.load_kept_on(*carrier, i),
                       to);
  }
  channel.flush();
}

}  // namespace

std::unique_ptr<SampleStream> teacher_outputs(const SourceModel& teacher, const Windows& windows,
                                              std::span<const int64_t> own, MeshRank& rank,
                                              StreamBudget& budget, const Device& device,
                                              const std::function<void()>& block_done) {
  const int stages = rank.mesh().stages, last = stages - 1;
  const auto stage_of = [&](int64_t i) { return static_cast<int>(i % stages); };
  std::vector<int64_t> mine;
  for (int64_t i = 0; i < std::ssize(own); ++i) {
    if (stage_of(i) == rank.stage()) mine.push_back(own[i]);
  }
  auto computed = compute(teacher, windows, mine, budget, device, block_done);
  if (stages == 1) return computed;
  if (rank.stage() != last) {
    send_all(*computed, rank.streams(), rank.carrier(), rank.mesh().rank_of(last, rank.replica()));
    return nullptr;
  }
  auto all = std::make_unique<SampleStream>(budget, std::ssize(own), windows.seq_len,
                                            teacher.config().hidden_size);
  for (int64_t i = 0; i < std::ssize(own); ++i) {
    if (stage_of(i) == last) {
      all->store(i, computed->load(i / stages));
      continue;
    }
    const at::Tensor value = all->room(rank.streams().place());
    rank.streams().receive(value, rank.mesh().rank_of(stage_of(i), rank.replica()));
    all->store(i, device.fetch(value));
  }
  return all;
}

}  // namespace bitmill
