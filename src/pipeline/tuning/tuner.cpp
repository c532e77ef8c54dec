#include "pipeline/tuning/tuner.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "comm/gather.hpp"
#include "method/tuned_block.hpp"
#include "model/device_weights.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/streams/teacher_outputs.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

int64_t small_size(const TrainedStage& stage) {
  int64_t size = 0;
  for (int i = 0; i < stage.blocks(); ++i) size += stage.block(i).layout().small_size();
  return size;
}

}  // namespace

Tuner::Tuner(const TunerContext& context)
    : context_(context),
      backend_(make_backend(context.options.backend, context.device)),
      rotary_(
          on_device(make_rotary(context.model.config(), context.forecast.seq_len), context.device)),
      train_(share_of(context.rank, context.forecast.train, context.options.batch)),
      held_out_(share_of(context.rank, context.forecast.held_out, context.forecast.held_out)),
      stage_(blocks_of_stage(context.forecast.blocks, context.rank.mesh().stages,
                             context.rank.stage()),
             [&](int64_t block) { return make_block(block, 0, nullptr); }),
      pieces_(context.rank, small_size(stage_)),
      optimizer_(stage_, {RateSchedule::cosine_to_zero, all_steps()}, context.rank.replica_links(),
                 context.device),
      own_losses_(at::zeros({train_.own_count()})) {
  state_.trained = stage_.first();
  keep_best();
  state_.losses.resize(static_cast<size_t>(context.forecast.train));
  restore();
  own_losses_.copy_(at::tensor(state_.losses).index_select(0, at::tensor(train_.own())));
  stage_.take(state_.trained);
  make_streams(std::min(state_.history.epochs(), context_.forecast.epochs - 1));
  make_walk();
}

std::unique_ptr<TrainedBlock> Tuner::make_block(int64_t block, int64_t group,
                                                const BlockSigns* signs) const {
  TunedParts parts = context_.forecast.parts;
  parts.signs = parts.signs && context_.forecast.sign_groups.has(group, block);
  return std::make_unique<TunedBlock>(context_.model, block, parts, &context_.teacher, rotary_,
                                      context_.device, signs);
}

void Tuner::make_walk() {
  walk_.emplace(WalkContext{context_.rank, stage_, context_.model.config(), rotary_, *backend_,
                            context_.budget, context_.device, context_.forecast.seq_len});
}

TuningPlace Tuner::place() {
  return {stage_,
          optimizer_,
          pieces_,
          context_.forecast.parts.signs,
          context_.rank,
          context_.run_dir,
          context_.device.host()};
}

void Tuner::restore() {
  if (in_groups()) {
    state_.sign_group = 0;
    const std::optional<SavedSigns> saved = read_saved_signs(state_, place());
    if (saved) begin_group(saved->group, saved->signs);
    if (!saved) begin_latents();
  }
  restore_tuning(state_, place());
}

void Tuner::begin_latents() {
  const PositionRange steps =
      context_.forecast.sign_groups.steps_of(*state_.sign_group, all_steps());
  optimizer_.begin_large({RateSchedule::cosine_to_zero, steps.size()}, steps.begin);
}

// What the old group needs is freed before the new one begins.
void Tuner::begin_group(int64_t group, const std::vector<BlockSigns>& signs) {
  const at::Tensor factors = stage_.small(state_.trained);
  const bool walks = walk_.has_value();
  walk_.reset();
  state_.trained.reset();
  optimizer_.forget_large();
  for (int i = 0; i < stage_.blocks(); ++i) {
    stage_.put(i, make_block(stage_.number_of(i), group, &signs[static_cast<size_t>(i)]));
  }
  state_.sign_group = group;
  state_.trained = stage_.first();
  stage_.set_small(state_.trained, factors);
  stage_.take(state_.trained);
  begin_latents();
  if (walks) make_walk();
}

void Tuner::make_streams(int epoch) {
  epoch_of_streams_ = epoch;
  std::vector<int64_t> own = train_.own();
  for (const int64_t held_out : held_out_.own()) own.push_back(context_.forecast.train + held_out);
  inputs_.reset();  // gives its part of the budget back first
  targets_.reset();
  const Windows of_text = context_.text != nullptr
                              ? context_.text->windows(epoch, own, context_.device.host())
                              : Windows();
  const Windows& windows = context_.text != nullptr ? of_text : context_.windows;
  make_targets(windows, own);
  if (is_last_stage() && !divergence_)
    divergence_.emplace(context_.model, context_.teacher, context_.device);
  if (context_.rank.stage() != 0) return;
  inputs_ =
      std::make_unique<SampleStream>(context_.budget, std::ssize(own), context_.forecast.seq_len,
                                     context_.model.config().hidden_size);
  context_.device.host().parallel_for(std::ssize(own), [&](int64_t i) {
    inputs_->store(i, context_.model.embed(windows.window(own[i])));
  });
}

// Ranks cannot leave before a block is done. So for a deadline a block counts as a step.
void Tuner::make_targets(const Windows& windows, std::span<const int64_t> own) {
  context_.observer.phase_begins("the original's outputs, block by block");
  const int64_t blocks = context_.teacher.config().blocks;
  const auto leave_if_agreed = [&] {
    if (!context_.stop.stop_here()) return;
    settle();
    context_.stop.leave(
        fmt::format("after {} epochs of the model, before its next step", state_.history.epochs()));
  };
  int64_t done = 0;
  context_.observer.teacher_done(done, blocks);
  Stopwatch watch;
  targets_ = teacher_outputs(context_.teacher, windows, own, context_.rank, context_.budget,
                             context_.device, [&] {
                               context_.observer.teacher_done(++done, blocks);
                               context_.stop.step_took(watch.seconds());
                               leave_if_agreed();
                               watch = Stopwatch();
                             });
}

void Tuner::run() {
  if (state_.history.held_out_kl.empty()) measure_as_given();
  context_.observer.training_begins();
  train_steps(*this, {state_.history.epochs(), state_.steps}, context_.stop);
  settle();
}

void Tuner::measure_as_given() {
  const Stopwatch watch;
  const float divergence = measure();
  context_.stop.step_took(watch.seconds());  // for a deadline, measuring counts as a step
  BITMILL_CHECK(
      std::isfinite(divergence), NumericError,
      fmt::format("the divergence of {} from {} is not finite on the {} windows that are "
                  "held out: one of the two overflows float32; `bitmill eval` of each "
                  "says which",
                  context_.options.model, context_.options.reference, context_.forecast.held_out));
  state_.history.held_out_kl.push_back(divergence);
  context_.observer.epoch_done(state_.history, watch.seconds());
}

// Whether there is another epoch; `epoch` is always history.epochs().
bool Tuner::wants_epoch(int /*epoch*/) {
  return !state_.history.has_ended(context_.forecast.epochs, context_.forecast.patience);
}

DivergenceEnds Tuner::ends(int64_t first) const {
  return {inputs_.get(), targets_.get(), divergence_ ? &*divergence_ : nullptr, first,
          context_.device};
}

void Tuner::prepare_step(int epoch, int64_t step) {
  if (context_.text != nullptr && epoch != epoch_of_streams_) make_streams(epoch);
  if (!in_groups()) return;
  const int64_t of_all = epoch * context_.forecast.steps_per_epoch + step;
  const int64_t group = context_.forecast.sign_groups.group_at(of_all, all_steps());
  if (group != *state_.sign_group) begin_group(group, signs_of_stage());
}

// Returns false where a divergence is not finite: the epoch ends there.
bool Tuner::take_step(int epoch, int64_t step) {
  optimizer_.step(train_.batch_size(step), walk_->train(train_, step, ends(0), own_losses_),
                  state_.trained);
  context_.observer.step_done(epoch, step);
  return everywhere(all_finite(floats_of(own_losses_)));
}

void Tuner::finish_epoch(int /*epoch*/) {
  // The model is measured with what is saved.
  if (context_.options.half_latents) round_latents(state_, place());
  TuningHistory& history = state_.history;
  const std::vector<float> losses = gather_losses(context_.rank, train_, own_losses_);
  history.train_kl.push_back(mean_loss(losses));
  history.held_out_kl.push_back(all_finite(losses) ? measure() : infinite);
  if (history.best() == history.epochs()) keep_best();
}

// Only the leader of the stage writes signs.
void Tuner::keep_best() {
  state_.best = stage_.small(state_.trained);
  if (!context_.forecast.parts.signs || context_.run_dir == nullptr) return;
  state_.best_signs = signs_of_stage();
}

std::vector<BlockSigns> Tuner::signs_of_stage() const {
  std::vector<BlockSigns> all;
  for (int i = 0; i < stage_.blocks(); ++i) {
    all.push_back(block_signs(stage_, i, state_.trained));
  }
  return all;
}

// Returns the held-out divergence of what is trained now, the same on all ranks.
float Tuner::measure() {
  float divergence = infinite;
  if (everywhere(stage_.can_store(state_.trained))) {
    const at::Tensor losses = at::zeros({held_out_.own_count()});
    walk_->measure(held_out_, ends(train_.own_count()), state_.trained, losses);
    divergence = mean_loss(gather_losses(context_.rank, held_out_, losses));
  }
  return divergence;
}

// Collective: whether `here` is true on every rank.
bool Tuner::everywhere(bool here) const {
  const std::vector<char> all = gather_value(context_.rank.control(), static_cast<char>(here));
  return std::ranges::all_of(all, [](char one) { return one != 0; });
}

void Tuner::take_state(const StepsDone& done) {
  state_.steps = done.steps;
  state_.losses = gather_losses(context_.rank, train_, own_losses_);
}

void Tuner::save_epoch(const StepsDone& done, double seconds) {
  take_state(done);
  commit(epoch_line(seconds));
  context_.observer.epoch_done(state_.history, seconds);
}

void Tuner::save_steps(const StepsDone& done) {
  take_state(done);
  commit("");
}

// What is small is handed over as a copy, and written beside training. Parts are not: a copy of
// latents and moments would take as much memory as all of them.
void Tuner::commit(const std::string& line) {
  const bool has_parts = context_.forecast.parts.signs;
  const Stopwatch watch;
  // In the middle of an epoch nothing is rounded yet.
  const bool half = context_.options.half_latents && !line.empty();
  save_parts(state_, place(), half ? Dtype::bfloat16 : Dtype::float32);
  const std::vector<TensorSource> tensors = tensors_to_save(state_, place());
  RunWriter* const writer = context_.writer;
  if (writer == nullptr) return;
  if (has_parts) seconds_saving_parts_ += watch.seconds();
  if (line.empty()) {
    writer->save_steps(saved_progress(state_), tensors);
  } else {
    writer->save_epoch(saved_progress(state_), tensors, line);
  }
  if (!has_parts) return;
  writer->settle();
  context_.run_dir->remove_parts(state_.steps, state_.steps);
}

void Tuner::settle() {
  if (context_.writer != nullptr) context_.writer->settle();
}

// What is under way is committed first, and then perhaps a state that takes as long.
double Tuner::seconds_to_leave() const {
  return context_.writer != nullptr ? 2 * context_.writer->longest_commit_s() : 0;
}

// A value that is not finite becomes null.
std::string Tuner::epoch_line(double seconds) const {
  return nlohmann::json{{"block", whole_model},
                        {"epoch", state_.history.epochs() - 1},
                        {"loss", state_.history.train_kl.back()},
                        {"held_out", state_.history.held_out_kl.back()},
                        {"held_out_before", state_.history.held_out_kl.front()},
                        {"seconds", seconds}}
      .dump();
}

}  // namespace bitmill
