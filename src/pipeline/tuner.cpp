#include "pipeline/tuner.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "pipeline/stopwatch.hpp"
#include "pipeline/teacher_outputs.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

float mean(const std::vector<float>& values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return static_cast<float>(sum / static_cast<double>(values.size()));
}

SampleShare share_of(const MeshRank& rank, int64_t samples, int64_t batch) {
  return {samples, batch, rank.mesh().replicas, rank.replica()};
}

}  // namespace

Tuner::Tuner(const TunerContext& context)
    : context_(context),
      backend_(cpu_backend()),
      rotary_(make_rotary(context.model.config(), context.plan.seq_len)),
      train_(share_of(context.rank, context.plan.train, context.options.batch)),
      held_out_(share_of(context.rank, context.plan.held_out, context.plan.held_out)),
      stage_(context.model,
             blocks_of_stage(context.plan.blocks, context.rank.mesh().stages, context.rank.stage()),
             context.options.rate, rotary_, context.pool),
      pieces_(context.rank, stage_.layout().size()),
      optimizer_(
          stage_.layout(),
          {RateSchedule::cosine_to_zero, context.options.epochs * context.plan.steps_per_epoch},
          context.rank.replicas(), context.pool),
      own_losses_(static_cast<size_t>(train_.own_count())) {
  state_.factors.assign(static_cast<size_t>(stage_.layout().size()), 1.0F);
  state_.best = state_.factors;
  state_.losses.resize(static_cast<size_t>(context.plan.train));
  restore_tuning(context.run_dir, state_, optimizer_, pieces_, context.rank);
  for (int64_t i = 0; i < train_.own_count(); ++i) {
    own_losses_[i] = state_.losses[train_.own()[i]];
  }
  stage_.take(state_.factors);
  make_streams();
  walk_.emplace(WalkContext{context_.rank, stage_, context_.model.config(), rotary_, *backend_,
                            divergence_ ? &*divergence_ : nullptr, context_.budget, context_.pool,
                            context_.plan.seq_len});
}

void Tuner::make_streams() {
  std::vector<int64_t> own = train_.own();
  for (const int64_t held_out : held_out_.own()) own.push_back(context_.plan.train + held_out);
  context_.observer.stage_begins("the original's outputs, block by block");
  targets_ = teacher_outputs(context_.teacher, context_.windows, own, context_.rank,
                             context_.budget, context_.pool, [&] { stop_between(); });
  if (is_last_stage()) divergence_.emplace(context_.model, context_.teacher, context_.pool);
  if (context_.rank.stage() != 0) return;
  inputs_ = std::make_unique<SampleStream>(context_.budget, std::ssize(own), context_.plan.seq_len,
                                           context_.model.config().hidden_size);
  context_.pool.parallel_for(std::ssize(own), [&](int64_t i) {
    inputs_->store(i, context_.model.embed(context_.windows.window(own[i])));
  });
}

void Tuner::run() {
  if (state_.history.held_out_kl.empty()) {
    const Stopwatch watch;
    measure();
    context_.observer.epoch_done(state_.history, watch.seconds());
  }
  while (!state_.history.has_ended(context_.options.epochs)) {
    train_epoch();
    if (!state_.history.has_ended(context_.options.epochs)) stop_between();
  }
}

void Tuner::train_epoch() {
  const Stopwatch watch;
  const int64_t steps = context_.plan.steps_per_epoch;
  const int64_t first = state_.steps - state_.history.epochs() * steps;
  double step_seconds = 0;
  for (int64_t step = first; step < steps; ++step) {
    // Not before the first step: an epoch that has not begun was saved with the one before it.
    if (step > first && context_.stop.stop_here()) {
      const double save_seconds = save();
      throw AgreedStop(fmt::format(
          "{}: stopped after step {} of epoch {}: the step took {:.3f} s, writing the state {:.3f} "
          "s. Run the same command again to go on",
          context_.stop.reason(), step, state_.history.epochs(), step_seconds, save_seconds));
    }
    step_seconds = train_step(step);
    context_.observer.step_done(state_.history.epochs(), step);
  }
  state_.history.train_kl.push_back(mean(gather(train_, own_losses_)));
  measure();
  if (state_.history.best() == state_.history.epochs()) state_.best = state_.factors;
  save();
  const double seconds = watch.seconds();
  if (context_.run_dir != nullptr) {
    context_.run_dir->append_event(nlohmann::json{
        {"block", whole_model},
        {"epoch", state_.history.epochs() - 1},
        {"loss", state_.history.train_kl.back()},
        {"held_out", state_.history.held_out_kl.back()},
        {"seconds", seconds}}.dump());
  }
  context_.observer.epoch_done(state_.history, seconds);
}

double Tuner::train_step(int64_t step) {
  const Stopwatch watch;
  Partials<float> sums =
      walk_->train(train_, step, {inputs_.get(), targets_.get(), 0}, own_losses_);
  optimizer_.step(train_.batch_size(step), std::move(sums), state_.factors);
  stage_.take(state_.factors);
  ++state_.steps;
  const double seconds = watch.seconds();
  context_.stop.step_took(seconds);
  return seconds;
}

// Once an epoch has begun its last step, this follows before anybody can leave: for a deadline it
// counts as one.
void Tuner::measure() {
  const Stopwatch watch;
  std::vector<float> losses(static_cast<size_t>(held_out_.own_count()));
  walk_->measure(held_out_, {inputs_.get(), targets_.get(), train_.own_count()}, state_.factors,
                 losses);
  state_.history.held_out_kl.push_back(mean(gather(held_out_, losses)));
  context_.stop.step_took(watch.seconds());
}

// In the order of all samples, on every rank; `own` is looked at on the last stage.
std::vector<float> Tuner::gather(const SampleShare& share, std::span<const float> own) const {
  std::vector<double> all(static_cast<size_t>(share.samples()));
  if (is_last_stage()) {
    const std::vector<double> mine(own.begin(), own.end());
    all = share.gather_in_order(context_.rank.replicas(), mine, 1);
  }
  const Mesh& mesh = context_.rank.mesh();
  context_.rank.control().broadcast(std::as_writable_bytes(std::span(all)),
                                    mesh.rank_of(mesh.stages - 1, 0));
  std::vector<float> floats;
  for (const double value : all) floats.push_back(static_cast<float>(value));
  return floats;
}

double Tuner::save() {
  const Stopwatch watch;
  state_.losses = gather(train_, own_losses_);
  save_tuning(context_.run_dir, state_, optimizer_, pieces_);
  const double seconds = watch.seconds();
  context_.stop.save_took(seconds);
  return seconds;
}

// Where everything that is worth keeping is saved.
void Tuner::stop_between() {
  if (!context_.stop.stop_here()) return;
  throw AgreedStop(fmt::format("{}: stopped after {} epochs. Run the same command again to go on",
                               context_.stop.reason(), state_.history.epochs()));
}

}  // namespace bitmill
