#include "pipeline/adapting/adapter_trainer.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "comm/gather.hpp"
#include "model/device_weights.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/streams/teacher_outputs.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

std::vector<int64_t> block_sizes(const ModelConfig& config, const LoraSettings& settings) {
  std::vector<int64_t> sizes;
  for (int64_t block = 0; block < config.blocks; ++block) {
    sizes.push_back(lora_values(config, settings, block));
  }
  return sizes;
}

}  // namespace

AdapterTrainer::AdapterTrainer(const AdapterContext& context)
    : context_(context),
      backend_(make_backend(context.options.backend, context.device)),
      rotary_(
          on_device(make_rotary(context.base.config(), context.forecast.seq_len), context.device)),
      train_(share_of(context.rank, context.options.batch, context.options.batch)),
      held_out_(share_of(context.rank, std::min(context.text.held_out_count, most_held_out),
                         most_held_out)),
      stage_(blocks_of_stage(context.forecast.blocks, context.rank.mesh().stages,
                             context.rank.stage()),
             [&](int64_t block) {
               return std::make_unique<LoraBlock>(context.base, context.original, block,
                                                  context.options.lora, rotary_, context.device);
             }),
      rates_{RateSchedule::cosine_to_zero, context.forecast.steps, context.forecast.warmup_steps},
      optimizer_(stage_, rates_, context.rank.replica_links(), context.device),
      file_(context.rank, optimizer_, context.device,
            block_sizes(context.base.config(), context.options.lora)),
      own_losses_(at::zeros({train_.own_count()})) {
  state_.values = stage_.first();
  file_.restore(context_.writer != nullptr ? &context_.writer->dir() : nullptr, state_);
  stage_.take(state_.values);
  if (is_last_stage() && context_.options.loss == TrainingLoss::cross_entropy) {
    cross_entropy_.emplace(context_.base, context_.device);
  } else if (is_last_stage()) {
    divergence_.emplace(context_.base, context_.original, context_.device);
  }
  train_ends_.emplace(context_.base, train_, context_.forecast.seq_len, loss(),
                      context_.options.lora.seed, context_.device);
  held_out_ends_.emplace(context_.base, held_out_, context_.forecast.seq_len, loss(), std::nullopt,
                         context_.device);
  hold_held_out();
  walk_.emplace(WalkContext{context_.rank, stage_, context_.base.config(), rotary_, *backend_,
                            context_.budget, context_.device, context_.forecast.seq_len});
}

SequenceLoss AdapterTrainer::loss() const {
  return {cross_entropy_ ? &*cross_entropy_ : nullptr, divergence_ ? &*divergence_ : nullptr};
}

// Only the first and the last stage need the ids. With a teacher they are there already.
void AdapterTrainer::hold_sequences(int64_t step) {
  train_ends_->begin(first_sequence(step));
  const int64_t before = (step - chunk_begin_) * train_.own_count();
  train_ends_->hold_targets(chunk_targets_.get(), before);
  if (!is_first_stage() && !is_last_stage()) return;
  for (int64_t own = 0; own < train_.own_count(); ++own) {
    train_ends_->hold(own, chunk_.empty() ? context_.text.sequence(train_ends_->sequence_of(own))
                                          : chunk_[static_cast<size_t>(before + own)]);
  }
}

void AdapterTrainer::hold_held_out() {
  std::vector<TokenIds> sequences;
  if (!is_first_stage() && !is_last_stage() && context_.options.loss != TrainingLoss::divergence) {
    return;
  }
  for (int64_t own = 0; own < held_out_.own_count(); ++own) {
    sequences.push_back(context_.text.held_out(held_out_.own()[static_cast<size_t>(own)]));
    held_out_ends_->hold(own, sequences.back());
  }
  if (context_.options.loss != TrainingLoss::divergence) return;
  context_.observer.phase_begins("the original's outputs for the text that is held out");
  held_out_targets_ = teach(sequences, [&] {
    if (context_.stop.stop_here()) context_.stop.leave("before the next step of the adapters");
  });
  held_out_ends_->hold_targets(held_out_targets_.get(), 0);
}

// The outputs of the original for sequences of this replica, on the last stage.
std::unique_ptr<SampleStream> AdapterTrainer::teach(const std::vector<TokenIds>& sequences,
                                                    const std::function<void()>& block_done) {
  Windows windows{std::ssize(sequences), context_.forecast.seq_len, {}};
  for (TokenIds ids : sequences) {
    ids.resize(static_cast<size_t>(windows.seq_len), 0);
    windows.ids.insert(windows.ids.end(), ids.begin(), ids.end());
  }
  std::vector<int64_t> all(sequences.size());
  std::iota(all.begin(), all.end(), 0);
  return teacher_outputs(context_.original, windows, all, context_.rank, context_.budget,
                         context_.device, block_done);
}

// Where the teacher has not come to this step yet.
void AdapterTrainer::teach_chunk(int64_t step) {
  if (context_.options.loss != TrainingLoss::divergence || step < chunk_end_) return;
  chunk_targets_.reset();  // gives its part of the budget back first
  const int64_t steps = std::max<int64_t>(1, sequences_of_teacher / context_.options.batch);
  chunk_begin_ = step;
  chunk_end_ = std::min(context_.forecast.steps, (step / steps + 1) * steps);
  chunk_.clear();
  for (int64_t one = step; one < chunk_end_; ++one) {
    for (const int64_t sample : train_.own()) {
      chunk_.push_back(context_.text.sequence(first_sequence(one) + sample));
    }
  }
  chunk_targets_ = teach(chunk_, [&] {
    if (!context_.stop.stop_here()) return;
    save_steps({state_.history.measures(), step});
    context_.stop.leave(fmt::format("before step {} of the adapters", step + 1));
  });
}

void AdapterTrainer::run() {
  if (state_.history.held_out.empty()) {
    context_.observer.phase_begins("measuring the base on the text that is held out");
    const Stopwatch watch;
    measure();
    context_.stop.step_took(watch.seconds());  // for a deadline, measuring counts as a step
    context_.observer.measured(state_.history, 0);
  }
  context_.observer.training_begins(state_.steps);
  train_steps(*this, {state_.history.measures(), state_.steps}, context_.stop);
  settle();
}

bool AdapterTrainer::wants_epoch(int epoch) {
  return epoch * steps_per_epoch() < context_.forecast.steps;
}

void AdapterTrainer::prepare_step(int epoch, int64_t step) {
  teach_chunk(epoch * steps_per_epoch() + step);
}

// AdamW with decoupled decay: the values shrink first, then the step is taken.
bool AdapterTrainer::take_step(int epoch, int64_t step) {
  const int64_t number = epoch * steps_per_epoch() + step;
  hold_sequences(number);
  std::vector<Partials> sums = walk_->train(train_, 0, *train_ends_, own_losses_);
  agree(number);
  state_.values.mul_(1 - context_.options.lora.rate * rates_.factor(number) * adapter_decay);
  optimizer_.step(context_.options.batch, std::move(sums), state_.values);
  return number + 1 < context_.forecast.steps;
}

AdapterTrainer::Word AdapterTrainer::own_word() const {
  Word word;
  for (int64_t own = 0; is_first_stage() && own < train_.own_count(); ++own) {
    word.tokens += std::ssize(train_ends_->ids(own));
  }
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last_save_;
  word.save_due = context_.writer != nullptr && since.count() >= context_.options.save_every_s;
  return word;
}

// Every rank decides alike what follows from the step. Losses are added up in the order of the
// sequences, on any mesh: replicas own positions in the order of their ranks.
void AdapterTrainer::agree(int64_t step) {
  PreprocessObserver::Step done{step + 1, 0, 0};
  save_due_ = false;
  for (const Word& word : gather_value(context_.rank.control(), own_word())) {
    done.tokens += word.tokens;
    save_due_ = save_due_ || word.save_due != 0;
  }
  std::span<const float> own;
  if (is_last_stage()) own = floats_of(own_losses_);
  for (const float loss : gather_joined<float>(context_.rank.control(), own)) {
    done.loss += loss / static_cast<double>(context_.options.batch);
    state_.loss_sum += loss;
  }
  BITMILL_CHECK(std::isfinite(state_.loss_sum), NumericError,
                fmt::format("the loss of step {} is not finite: the training diverged. States that "
                            "were saved before stay in {}, but going on from them would end here "
                            "again: begin anew with a lower --lr and --resume never",
                            step + 1, context_.options.work_dir));
  context_.observer.step_done(done);
}

void AdapterTrainer::finish_epoch(int epoch) {
  const int64_t steps = std::min((epoch + 1) * steps_per_epoch(), context_.forecast.steps);
  const int64_t sequences = first_sequence(steps - epoch * steps_per_epoch());
  state_.history.train.push_back(
      static_cast<float>(state_.loss_sum / static_cast<double>(sequences)));
  state_.loss_sum = 0;
  measure();
}

// Adds the held-out loss of what the result would be now to the history; the same on all ranks.
void AdapterTrainer::measure() {
  const std::vector<char> storable =
      gather_value(context_.rank.control(), static_cast<char>(stage_.can_store(state_.values)));
  BITMILL_CHECK(std::ranges::count(storable, 0) == 0, NumericError,
                fmt::format("a merged weight does not fit the type of its weight in {}: the "
                            "training diverged; begin anew with a lower --lr and --resume never",
                            context_.options.model));
  const at::Tensor losses = at::zeros({held_out_.own_count()});
  walk_->measure(held_out_, *held_out_ends_, state_.values, losses);
  state_.history.held_out.push_back(mean_loss(gather_losses(context_.rank, held_out_, losses)));
}

void AdapterTrainer::save_epoch(const StepsDone& done, double seconds) {
  state_.steps = std::min(done.steps, context_.forecast.steps);
  file_.save(state_, context_.writer, measure_line(seconds));
  last_save_ = std::chrono::steady_clock::now();
  context_.observer.measured(state_.history, state_.steps);
}

void AdapterTrainer::save_steps(const StepsDone& done) {
  state_.steps = done.steps;
  file_.save(state_, context_.writer, "");
  last_save_ = std::chrono::steady_clock::now();
}

void AdapterTrainer::settle() {
  if (context_.writer != nullptr) context_.writer->settle();
}

// Values that are not finite become null.
std::string AdapterTrainer::measure_line(double seconds) const {
  return nlohmann::json{{"block", all_adapters},
                        {"epoch", state_.history.measures() - 1},
                        {"steps", state_.steps},
                        {"loss", state_.history.train.back()},
                        {"held_out", state_.history.held_out.back()},
                        {"held_out_before", state_.history.held_out.front()},
                        {"seconds", seconds}}
      .dump();
}

}  // namespace bitmill
