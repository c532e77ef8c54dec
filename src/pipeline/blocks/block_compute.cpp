#include "pipeline/blocks/block_compute.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "channel/channel.hpp"
#include "device/device_full.hpp"
#include "method/input_moments.hpp"
#include "model/device_weights.hpp"
#include "pipeline/folder/run_log.hpp"
#include "pipeline/sums/sample_statistics.hpp"

namespace bitmill {
namespace {

std::string what_takes_less(Dtype dtype) {
  return fmt::format(
      "with a (lower) --device-memory-limit more streams go to the host, which changes no result{}",
      dtype == Dtype::float32
          ? "; --dtype bfloat16 takes less than float32, but makes it another job"
          : "");
}

}  // namespace

BlockCompute::BlockCompute(const ComputeContext& context)
    : context_(context),
      guard_(context.model, context.rank.replicas(), context.pool,
             context.writer != nullptr ? &context.writer->dir() : nullptr),
      share_(context.windows.count, context.options.batch, context.rank.mesh().replicas,
             context.rank.replica()),
      rotary_(
          on_device(make_rotary(context.model.config(), context.windows.seq_len), context.device)),
      ahead_(context.model),
      losses_(at::zeros({share_.own_count()}, context.device.torch())),
      reports_(static_cast<size_t>(context.plan.blocks)),
      reported_(reports_.size(), false) {
  for (size_t block = 0; block < reports_.size(); ++block) {
    reports_[block].block = static_cast<int>(block);
    reports_[block].first_loss = std::numeric_limits<double>::quiet_NaN();
    reports_[block].last_loss = std::numeric_limits<double>::quiet_NaN();
  }
  if (context.writer != nullptr) logged_ = context.writer->dir().events().packed_blocks();
  if (context.frontier != nullptr) {
    const bool leads_job = context.rank.stage() == 0 && context.rank.leads();
    const auto sample_bytes = static_cast<int64_t>(new_stream(0)->room().nbytes());
    frontier_.emplace(
        *context.frontier, leads_job ? &context.writer->dir().state() : nullptr, context.plan,
        context.rank, share_, sample_bytes, context.pool,
        [this](const std::string& text) { context_.observer.phase_begins(text); },
        context.room_of_a_start);
  }
  if (context.rank.mesh().stages == 1) return;
  link_.emplace(
      context.rank,
      [like = new_stream(0), place = context.rank.streams().place()] { return like->room(place); },
      context.plan.link_capacity);
}

BlockCompute::~BlockCompute() = default;

double BlockCompute::tokens() const {
  return static_cast<double>(context_.windows.count * context_.windows.seq_len);
}

void BlockCompute::embed(int turn) {
  const Stream student = student_inputs_[{0, turn}] = new_stream();
  const Stream teacher = context_.plan.begins_band(turn) ? new_stream() : nullptr;
  if (teacher) teacher_inputs_[0] = teacher;
  for_own_samples("the embeddings", 0, {}, [&](int64_t i) {
    const at::Tensor x = context_.model.embed(context_.windows.window(share_.own()[i]));
    student->store(i, x, full_precision(StreamOrigin::embeddings, i));
    if (teacher) teacher->store(i, x, full_precision(StreamOrigin::embeddings, i));
  });
}

void BlockCompute::load(int block) {
  std::optional<WeightsRead> ahead = ahead_.take(block);
  guard_.read_block(block, ahead ? ahead->hashes : TensorHashes());
  BlockWeights weights = ahead ? std::move(ahead->weights) : context_.model.load_block(block);
  naming_place(fmt::format("the weights of block {}", block), [&] {
    live_ =
        std::make_unique<LiveBlock>(context_.model, std::move(weights), block, context_.options,
                                    share_.steps(), context_.rank.replica_links(), context_.device);
  });
}

void BlockCompute::at_sample(const char* what, int block, int64_t i,
                             const std::function<void()>& task) const {
  if (context_.device.torch().is_cpu()) return task();
  naming_place(
      fmt::format("{} of block {}, sample {}", what, block, share_.own()[static_cast<size_t>(i)]),
      task);
}

void BlockCompute::advising(const std::function<void()>& work) const {
  try {
    with_device_errors(work);
  } catch (const DeviceFullError& error) {
    throw DeviceFullError(
        fmt::format("{}; {}", error.what(), what_takes_less(context_.options.dtype)));
  }
}

void BlockCompute::naming_place(const std::string& place, const std::function<void()>& work) const {
  at_place(place, [&] { advising(work); });
}

at::Tensor BlockCompute::brought(const SampleStream& from, int64_t i) const {
  return from.load_on(context_.device, i);
}

void BlockCompute::teach(int block, int turn, bool saved) {
  const Stream teacher = begin_visit(block, turn);
  visit_ = {block, turn};
  homologous_ = new_stream();
  // A rank without samples takes part in sums and saves, but needs no student.
  const Backend* backend = share_.own_count() > 0 ? &context_.backend : nullptr;
  if (!saved) {
    InputStatistics inputs;
    inputs.moments = teach_homologous(block);
    inputs.saliency =
        probe_and_advance(block, SaliencyLayout(live_->shapes()), *teacher, *targets_[block]);
    naming_place(fmt::format("block {}, made ready to train", block),
                 [&] { live_->quantize(std::move(inputs), backend, rotary_); });
    return;
  }
  advance(block, *student_, *homologous_);
  if (teacher) advance(block, *teacher, *targets_[block]);
  at::Tensor losses;
  naming_place(fmt::format("block {}, restored from its state", block), [&] {
    losses = live_->restore(settled(), backend, rotary_, context_.windows.count);
  });
  losses_.copy_(losses.index_select(0, at::tensor(share_.own())));
}

void BlockCompute::pass(int block, int turn) {
  const Stream teacher = begin_visit(block, turn);
  visit_ = {block, turn};
  if (teacher) advance(block, *teacher, *targets_[block]);
}

void BlockCompute::reload(int /*block*/, int turn) { live_->reload(settled(), turn); }

const RunDir* BlockCompute::settled() const {
  if (context_.writer == nullptr) return nullptr;
  context_.writer->settle();
  return &context_.writer->dir();
}

void BlockCompute::save_epoch(const Progress& done, const FinishedEpoch& epoch) {
  live_->save_epoch(context_.writer, context_.save_beside, done,
                    at::tensor(all_losses()).to(at::kFloat),
                    epoch_line(epoch.at, epoch.loss, epoch.seconds));
}

void BlockCompute::save_steps(const Progress& done) {
  if (losses_.is_cuda()) check_losses({done.block, visit_.turn, done.epochs, done.steps});
  live_->save_steps(context_.writer, done, at::tensor(all_losses()).to(at::kFloat));
}

void BlockCompute::settle() {
  if (context_.writer != nullptr) context_.writer->settle();
}

// What is under way is committed first, and then perhaps a state that takes as long.
double BlockCompute::seconds_to_leave() const {
  if (context_.writer == nullptr) return 0;
  const ResumeCosts& costs = context_.options.resume_costs;
  int deepest = visit_.block;
  for (const auto& [at, stream] : student_inputs_) deepest = std::max(deepest, at.first);
  const bool keeps = frontier_ && costs.keeps(deepest);  // the stop saves a state first
  return 2 * context_.writer->longest_commit_s() + (keeps ? costs.streams_s : 0);
}

void BlockCompute::advance(int block, const SampleStream& from, SampleStream& to) {
  for_own_samples("the forward pass", block, {&from}, [&](int64_t i) {
    const at::Tensor out = dense_block_forward(context_.model.config(), live_->weights(), rotary_,
                                               brought(from, i), context_.pool);
    bring_ahead(i, {&from});
    to.store(i, out, full_precision(block, i));
  });
}

at::Tensor BlockCompute::teach_homologous(int block) {
  const auto width = MomentLayout::needed(context_.options.method);
  if (!width) {
    advance(block, *student_, *homologous_);
    return {};
  }
  const MomentLayout layout(live_->shapes(), *width);
  const auto probe = [&](int64_t i, const at::Tensor& sums) {
    read_ahead(i, {student_.get()});
    at_sample("the inputs' moments", block, i, [&] {
      const at::Tensor out =
          layout.probing_forward(context_.model.config(), live_->weights(), rotary_,
                                 brought(*student_, i), sums, context_.pool);
      bring_ahead(i, {student_.get()});
      homologous_->store(i, out, full_precision(block, i));
    });
  };
  return mean_over_samples(layout.size(), tokens(), share_, probe, context_.rank.replica_links(),
                           context_.device, [this] { pump(); });
}

at::Tensor BlockCompute::probe_and_advance(int block, const SaliencyLayout& layout,
                                           const SampleStream& from, SampleStream& to) {
  const Saliency kind = context_.options.method.saliency;
  const auto probe = [&](int64_t i, const at::Tensor& statistics) {
    read_ahead(i, {&from});
    at_sample("the inputs' saliency", block, i, [&] {
      const at::Tensor out =
          probing_forward(context_.model.config(), live_->weights(), rotary_, brought(from, i),
                          kind, layout, statistics, context_.pool);
      bring_ahead(i, {&from});
      to.store(i, out, full_precision(block, i));
    });
  };
  return saliency_over_samples(kind, layout.size(), tokens(), share_, probe, replicas(),
                               context_.device, [this] { pump(); });
}

// A CPU's threads all train.
void BlockCompute::begin_next_weights(const Position& at) {
  if (context_.device.torch().is_cpu()) return;
  const auto next = block_after(context_.plan, context_.rank.stage(), at.block, at.turn);
  if (next) ahead_.begin(*next);
}

void BlockCompute::train_step(const Position& at) {
  begin_next_weights(at);
  const SampleStream& targets = *targets_.at(at.block);
  live_->step(share_.batch_size(at.step), [&](int64_t position, const at::Tensor& gradient) {
    const int64_t i = share_.own_index(at.step, position);
    read_ahead(i, {student_.get(), &targets, homologous_.get()});
    at_sample("the gradient", at.block, i, [&] {
      const TrainingSample sample{brought(*student_, i), brought(targets, i),
                                  brought(*homologous_, i)};
      live_->student().unit_gradient(sample, live_->learned(), gradient, losses_[i]);
      bring_ahead(i, {student_.get(), &targets, homologous_.get()});
    });
  });
  // A GPU would have to finish its work first: there, the losses of an epoch are checked at its
  // end.
  if (!losses_.is_cuda()) check_losses(at);
  pump();
}

double BlockCompute::finish_epoch(const Position& at) {
  live_->finish_epoch();
  if (losses_.is_cuda()) check_losses(at);
  const std::vector<double> all = all_losses();
  double sum = 0;
  for (const double loss : all) sum += loss;
  const double mean = sum / static_cast<double>(all.size());
  if (at.epoch == 0) reports_[at.block].first_loss = mean;
  reports_[at.block].last_loss = mean;
  return mean;
}

void BlockCompute::pack(int block, int turn) {
  if (share_.own_count() > 0 || context_.writer != nullptr) {
    naming_place(fmt::format("the packing of block {}", block), [&] { live_->pack(); });
  }
  if (context_.writer == nullptr) return;
  context_.writer->begin_packed(block, turn, last_turn(turn), live_->packed_tensors());
}

void BlockCompute::forward(int block, int turn, bool wanted) {
  visit_ = {};
  BlockWeights weights;
  naming_place(fmt::format("the packed weights of block {}", block), [&] {
    if (share_.own_count() > 0) weights = live_->deployed_weights();
  });
  const Stream targets = targets_.at(block);
  std::vector<Closeness> closeness(static_cast<size_t>(share_.own_count()));
  const SampleStream* measured = last_turn(turn) ? targets.get() : nullptr;
  for_own_samples("the packed forward pass", block, {student_.get(), measured}, [&](int64_t i) {
    const at::Tensor out = dense_block_forward(context_.model.config(), weights, rotary_,
                                               brought(*student_, i), context_.pool);
    bring_ahead(i, {student_.get()});
    if (last_turn(turn)) {
      closeness[static_cast<size_t>(i)] =
          measure_closeness(context_.device.fetch(out), targets->load(i));
    }
    student_->store(i, out, packed(block, i));
  });
  if (last_turn(turn)) report_block(block, closeness);
  if (!wanted) return;
  student_inputs_[{block + 1, turn}] = student_;
  if (context_.plan.begins_band(turn)) teacher_inputs_[block + 1] = targets;
}

}  // namespace bitmill
