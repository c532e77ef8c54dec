// The streams of BlockCompute: what a block reads and hands on, between blocks, between stages, and
// at a stop.

#include "pipeline/blocks/block_compute.hpp"

#include <algorithm>
#include <utility>

#include "pipeline/streams/sample_box.hpp"

namespace bitmill {

BlockCompute::Stream BlockCompute::new_stream(int64_t samples) const {
  Stream stream;
  advising([&] {
    stream = std::make_shared<SampleStream>(context_.budget, samples, context_.windows.seq_len,
                                            context_.model.config().hidden_size,
                                            context_.options.stream_dtype);
  });
  return stream;
}

void BlockCompute::pump() {
  if (link_) link_->pump();
}

// As many samples are computed at a time as the device has lanes. So the thread that computes
// sample i takes next a sample about that far behind it. After the last sample comes the first one:
// of the next epoch, or of the loop that follows.
void BlockCompute::read_ahead(int64_t i, Sources sources) const {
  const int64_t next = (i + context_.device.lanes()) % share_.own_count();
  for (const SampleStream* source : sources) {
    if (source != nullptr) source->prefetch(next);
  }
}

// One lane: the next sample is the one that is computed next, around the end as in read_ahead().
void BlockCompute::bring_ahead(int64_t i, Sources sources) const {
  for (const SampleStream* source : sources) {
    if (source != nullptr) source->bring_ahead((i + 1) % share_.own_count());
  }
}

void BlockCompute::for_own_samples(const char* what, int block, Sources sources,
                                   const std::function<void(int64_t)>& task) {
  const auto compute = [&](int64_t i) {
    read_ahead(i, sources);
    at_sample(what, block, i, [&] { task(i); });
  };
  if (!link_) return context_.device.for_units(share_.own_count(), compute);
  // Between two rounds of the lanes, streams move between stages.
  const int64_t at_once = context_.device.lanes();
  for (int64_t first = 0; first < share_.own_count(); first += at_once) {
    context_.device.for_units(std::min(at_once, share_.own_count() - first),
                              [&](int64_t i) { compute(first + i); });
    pump();
  }
}

// Weights are finite when they are read, and so is what a block gets. So where a full-precision
// block gives a value that is not finite, its arithmetic has left float32; training has no part in
// it.
StreamOrigin BlockCompute::full_precision(int block, int64_t i) const {
  return {"the full-precision block", block, "sample", share_.own()[static_cast<size_t>(i)],
          "the model overflows float32 there, or was damaged before it came into this folder: "
          "compare its files with their source, and try `bitmill eval`; no rate is the cause"};
}

// Packed values are finite (method/pack.cpp).
StreamOrigin BlockCompute::packed(int block, int64_t i) const {
  return {"the packed block", block, "sample", share_.own()[static_cast<size_t>(i)],
          "the full-precision block does not: lower --lr-scale, --lr-gain and the rates of what "
          "else is learned"};
}

// Where the turn begins a band, the caller advances the returned teacher's stream into
// targets_[block]; null, too, where take_kept() has read these targets.
BlockCompute::Stream BlockCompute::begin_visit(int block, int turn) {
  student_ = std::move(student_inputs_.extract({block, turn}).mapped());
  if (!context_.plan.begins_band(turn) || targets_.contains(block)) return nullptr;
  Stream teacher = std::move(teacher_inputs_.extract(block).mapped());
  targets_[block] = teacher.use_count() == 1 ? teacher : new_stream();
  return teacher;
}

// The last block is dropped without a forward, and there is nothing of it to keep either.
void BlockCompute::drop(int block, bool comes_back) {
  visit_ = {};
  live_.reset();
  student_.reset();
  homologous_.reset();
  if (!comes_back) targets_.erase(block);
}

bool BlockCompute::has_arrived(int /*block*/, int /*turn*/) {
  link_->pump();
  return link_->has_arrived();
}

// The teacher's stream comes first, where it travels.
void BlockCompute::receive(int block, int turn) {
  const std::shared_ptr<StreamBox> box = link_->take();
  const SampleBox::Streams& streams = static_cast<const SampleBox&>(*box).streams();
  if (context_.plan.begins_band(turn)) teacher_inputs_[block] = streams.front();
  student_inputs_[{block, turn}] = streams.back();
}

bool BlockCompute::has_room() {
  link_->pump();
  return link_->has_room();
}

// The next stage builds on what was packed here. It must not commit its own block before this one.
void BlockCompute::send(int block, int turn) {
  settle();
  SampleBox::Streams streams;
  if (context_.plan.begins_band(turn)) {
    streams.push_back(std::move(teacher_inputs_.extract(block + 1).mapped()));
  }
  student_.reset();
  streams.push_back(std::move(student_inputs_.extract({block + 1, turn}).mapped()));
  link_->send(
      std::make_shared<SampleBox>(block + 1, turn, std::move(streams), context_.rank.carrier()));
}

bool BlockCompute::all_sent() {
  pump();
  return !link_ || link_->all_sent();
}

void BlockCompute::expect(int block, int turn) {
  const int streams = travellers(turn);
  link_->expect(streams * share_.own_count(), [this, block, turn, streams] {
    SampleBox::Streams all;
    for (int i = 0; i < streams; ++i) all.push_back(new_stream());
    return std::make_shared<SampleBox>(block, turn, std::move(all), context_.rank.carrier());
  });
}

KeptStreams BlockCompute::find_kept_streams(const std::vector<BlockDone>& done) {
  return frontier_ ? frontier_->find(done) : KeptStreams();
}

void BlockCompute::take_kept(const KeptUse& use) {
  const Stream stream = new_stream();
  frontier_->read(use.stream, *stream);
  const auto [block, turn] = use.stream;
  switch (use.role) {
    case KeptUse::Role::student:
      student_inputs_[{block, turn}] = stream;
      return;
    case KeptUse::Role::teacher:
      teacher_inputs_[block] = stream;
      return;
    case KeptUse::Role::targets:
      targets_[block - 1] = stream;
      return;
  }
}

// What was under way is at hand again, for keep_streams().
void BlockCompute::leave_streams(const std::function<void()>& expect_next) {
  if (!link_) return;
  for (const std::shared_ptr<StreamBox>& one : link_->leave(expect_next)) {
    const auto& box = static_cast<const SampleBox&>(*one);
    if (box.streams().size() > 1) teacher_inputs_[box.block()] = box.streams().front();
    student_inputs_[{box.block(), box.turn()}] = box.streams().back();
  }
}

void BlockCompute::keep_streams() {
  if (!frontier_) return;
  FrontierStreams::Held held;
  for (const auto& [at, stream] : student_inputs_) {
    held[student_stream(at.first, at.second)] = stream.get();
  }
  for (const auto& [block, stream] : teacher_inputs_) held[teacher_stream(block)] = stream.get();
  for (const auto& [block, stream] : targets_) held[teacher_stream(block + 1)] = stream.get();
  if (visit_.block >= 0) held[student_stream(visit_.block, visit_.turn)] = student_.get();
  frontier_->write(held, context_.options.resume_costs);
}

}  // namespace bitmill
