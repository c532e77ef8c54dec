#include "pipeline/blocks/block_compute.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "method/input_moments.hpp"
#include "method/loss.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/folder/run_log.hpp"
#include "pipeline/streams/sample_box.hpp"
#include "pipeline/sums/sample_statistics.hpp"

namespace bitmill {
namespace {

constexpr int64_t closeness_values = 4;  // doubles of one Closeness

}  // namespace

BlockCompute::BlockCompute(const ComputeContext& context)
    : context_(context),
      guard_(context.model, context.rank.replicas(), context.pool,
             context.writer != nullptr ? &context.writer->dir() : nullptr),
      share_(context.windows.count, context.options.batch, context.rank.mesh().replicas,
             context.rank.replica()),
      rotary_(make_rotary(context.model.config(), context.windows.seq_len)),
      losses_(at::zeros({share_.own_count()})),
      reports_(static_cast<size_t>(context.plan.blocks)),
      reported_(reports_.size(), false) {
  for (size_t block = 0; block < reports_.size(); ++block) {
    reports_[block].block = static_cast<int>(block);
    reports_[block].first_loss = std::numeric_limits<double>::quiet_NaN();
    reports_[block].last_loss = std::numeric_limits<double>::quiet_NaN();
  }
  if (context.writer != nullptr) logged_ = context.writer->dir().events().packed_blocks();
  if (context.frontier != nullptr) {
    frontier_.emplace(*context.frontier,
                      context.writer != nullptr ? &context.writer->dir().state() : nullptr,
                      context.rank.replicas(), share_, context.pool,
                      [this](const std::string& text) { context_.observer.phase_begins(text); });
  }
  if (context.rank.mesh().stages == 1) return;
  link_.emplace(
      context.rank, [like = new_stream(0)] { return like->room(); }, context.plan.link_capacity);
}

BlockCompute::~BlockCompute() = default;

BlockCompute::Stream BlockCompute::new_stream(int64_t samples) const {
  return std::make_shared<SampleStream>(context_.budget, samples, context_.windows.seq_len,
                                        context_.model.config().hidden_size,
                                        context_.options.stream_dtype);
}

double BlockCompute::tokens() const {
  return static_cast<double>(context_.windows.count * context_.windows.seq_len);
}

void BlockCompute::pump() {
  if (link_) link_->pump();
}

// The pool computes as many samples at a time as it has threads. So the thread that computes sample
// i takes next a sample about that far behind it. After the last sample comes the first one: of the
// next epoch, or of the loop that follows.
void BlockCompute::read_ahead(int64_t i, Sources sources) const {
  const int64_t next = (i + context_.pool.size()) % share_.own_count();
  for (const SampleStream* source : sources) {
    if (source != nullptr) source->prefetch(next);
  }
}

void BlockCompute::for_own_samples(Sources sources, const std::function<void(int64_t)>& task) {
  const auto compute = [&](int64_t i) {
    read_ahead(i, sources);
    task(i);
  };
  if (!link_) return context_.pool.parallel_for(share_.own_count(), compute);
  // Between two rounds of the pool, streams move between stages.
  const int64_t at_once = context_.pool.size();
  for (int64_t first = 0; first < share_.own_count(); first += at_once) {
    context_.pool.parallel_for(std::min(at_once, share_.own_count() - first),
                               [&](int64_t i) { compute(first + i); });
    pump();
  }
}

void BlockCompute::embed(int turn) {
  const Stream student = student_inputs_[{0, turn}] = new_stream();
  const Stream teacher = context_.plan.begins_band(turn) ? new_stream() : nullptr;
  if (teacher) teacher_inputs_[0] = teacher;
  for_own_samples({}, [&](int64_t i) {
    const at::Tensor x = context_.model.embed(context_.windows.window(share_.own()[i]));
    student->store(i, x, full_precision(-1, i));
    if (teacher) teacher->store(i, x, full_precision(-1, i));
  });
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

void BlockCompute::load(int block) {
  guard_.read_block(block);
  live_ = std::make_unique<LiveBlock>(context_.model, block, context_.options, share_.steps(),
                                      replicas(), context_.pool);
}

// Where the turn begins a band, the caller advances the returned teacher's stream into
// targets_[block]; null, too, where an earlier start has kept these targets.
BlockCompute::Stream BlockCompute::begin_visit(int block, int turn) {
  student_ = std::move(student_inputs_.extract({block, turn}).mapped());
  if (!context_.plan.begins_band(turn) || targets_.contains(block)) return nullptr;
  Stream teacher = std::move(teacher_inputs_.extract(block).mapped());
  targets_[block] = teacher.use_count() == 1 ? teacher : new_stream();
  return teacher;
}

void BlockCompute::teach(int block, int turn, bool saved) {
  const Stream teacher = begin_visit(block, turn);
  visit_ = {block, turn, saved};
  homologous_ = new_stream();
  // A rank without samples takes part in sums and saves, but needs no student.
  const Backend* backend = share_.own_count() > 0 ? &context_.backend : nullptr;
  if (!saved) {
    InputStatistics inputs;
    inputs.moments = teach_homologous(block);
    inputs.saliency =
        probe_and_advance(block, SaliencyLayout(live_->shapes()), *teacher, *targets_[block]);
    live_->quantize(std::move(inputs), backend, rotary_);
    return;
  }
  advance(block, *student_, *homologous_);
  if (teacher) advance(block, *teacher, *targets_[block]);
  const at::Tensor losses = live_->restore(settled(), backend, rotary_, context_.windows.count);
  losses_.copy_(losses.index_select(0, at::tensor(share_.own())));
}

void BlockCompute::pass(int block, int turn) {
  const Stream teacher = begin_visit(block, turn);
  visit_ = {block, turn, true};
  if (teacher) advance(block, *teacher, *targets_[block]);
}

void BlockCompute::reload(int /*block*/, int turn) { live_->reload(settled(), turn); }

const RunDir* BlockCompute::settled() const {
  if (context_.writer == nullptr) return nullptr;
  context_.writer->settle();
  return &context_.writer->dir();
}

void BlockCompute::save_epoch(const Progress& done, const FinishedEpoch& epoch) {
  live_->save_epoch(context_.writer, context_.saving, done, at::tensor(all_losses()).to(at::kFloat),
                    epoch_line(epoch.at, epoch.loss, epoch.seconds));
  visit_.begun = true;
}

void BlockCompute::save_steps(const Progress& done) {
  live_->save_steps(context_.writer, done, at::tensor(all_losses()).to(at::kFloat));
  visit_.begun = true;
}

void BlockCompute::settle() {
  if (context_.writer != nullptr) context_.writer->settle();
}

// What is under way is committed first, and then perhaps a state that takes as long.
double BlockCompute::seconds_to_leave() const {
  if (context_.writer == nullptr) return 0;
  const ResumeCosts& costs = context_.options.resume_costs;
  const bool keeps = frontier_ && costs.keeps(at_hand().block);
  return 2 * context_.writer->longest_commit_s() + (keeps ? costs.streams_s : 0);
}

void BlockCompute::advance(int block, const SampleStream& from, SampleStream& to) {
  for_own_samples({&from}, [&](int64_t i) {
    to.store(i,
             dense_block_forward(context_.model.config(), live_->weights(), rotary_, from.load(i),
                                 context_.pool),
             full_precision(block, i));
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
    homologous_->store(i,
                       layout.probing_forward(context_.model.config(), live_->weights(), rotary_,
                                              student_->load(i), sums, context_.pool),
                       full_precision(block, i));
  };
  return mean_over_samples(layout.size(), tokens(), share_, probe, replicas(), context_.pool,
                           [this] { pump(); });
}

at::Tensor BlockCompute::probe_and_advance(int block, const SaliencyLayout& layout,
                                           const SampleStream& from, SampleStream& to) {
  const Saliency kind = context_.options.method.saliency;
  const auto probe = [&](int64_t i, const at::Tensor& statistics) {
    read_ahead(i, {&from});
    to.store(i,
             probing_forward(context_.model.config(), live_->weights(), rotary_, from.load(i), kind,
                             layout, statistics, context_.pool),
             full_precision(block, i));
  };
  return saliency_over_samples(kind, layout.size(), tokens(), share_, probe, replicas(),
                               context_.pool, [this] { pump(); });
}

void BlockCompute::train_step(const Position& at) {
  const SampleStream& targets = *targets_.at(at.block);
  live_->step(share_.batch_size(at.step), [&](int64_t position, const at::Tensor& gradient) {
    const int64_t i = share_.own_index(at.step, position);
    read_ahead(i, {student_.get(), &targets, homologous_.get()});
    const TrainingSample sample{student_->load(i), targets.load(i), homologous_->load(i)};
    live_->student().unit_gradient(sample, live_->learned(), gradient, losses_[i]);
  });
  check_losses(at);
  pump();
}

void BlockCompute::check_losses(const Position& at) const {
  const PositionRange own =
      owned_positions(share_.batch_size(at.step), share_.replicas(), share_.replica());
  const std::span<const float> losses = floats_of(losses_);
  for (int64_t position = own.begin; position < own.end; ++position) {
    const auto i = static_cast<size_t>(share_.own_index(at.step, position));
    BITMILL_CHECK(std::isfinite(losses[i]), NumericError,
                  fmt::format("the loss of block {}, epoch {}, sample {} is {}; {}", at.block,
                              at.epoch, share_.own()[i], losses[i], advice_for_loss(at, i)));
  }
}

// Streams are finite. So a loss that is not has one of two causes: what was learned so far, or
// targets whose squares leave float32. Before the first step nothing was learned.
std::string BlockCompute::advice_for_loss(const Position& at, size_t own) const {
  const float target =
      targets_.at(at.block)->load(static_cast<int64_t>(own)).abs().max().item<float>();
  constexpr float largest_square_root = 1e18F;  // a sum of more than 100 such squares overflows
  if ((at.epoch == 0 && at.step == 0) || target > largest_square_root) {
    return fmt::format(
        "no rate is the cause: the full-precision output of this block reaches "
        "{:g}, and the error is squared in float32; the model is damaged, or this "
        "block can only be left as it is (--max-blocks, --ignore)",
        target);
  }
  return fmt::format("lower --lr-scale ({}), --lr-gain ({}) and the rates of what else is learned",
                     context_.options.method.lr_scale, context_.options.method.lr_gain);
}

std::vector<double> BlockCompute::all_losses() const {
  const at::Tensor losses = losses_.to(at::kDouble);
  return share_.gather_in_order(replicas(), doubles_of(losses), 1);
}

double BlockCompute::finish_epoch(const Position& at) {
  live_->finish_epoch();
  const std::vector<double> all = all_losses();
  double sum = 0;
  for (const double loss : all) sum += loss;
  const double mean = sum / static_cast<double>(all.size());
  if (at.epoch == 0) reports_[at.block].first_loss = mean;
  reports_[at.block].last_loss = mean;
  return mean;
}

void BlockCompute::pack(int block, int turn) {
  if (share_.own_count() > 0 || context_.writer != nullptr) live_->pack();
  if (context_.writer == nullptr) return;
  context_.writer->begin_packed(block, turn, last_turn(turn), live_->packed_tensors());
}

void BlockCompute::forward(int block, int turn, bool wanted) {
  visit_ = {};
  const BlockWeights weights = share_.own_count() > 0 ? live_->deployed_weights() : BlockWeights();
  const Stream targets = targets_.at(block);
  std::vector<double> closeness(static_cast<size_t>(share_.own_count() * closeness_values));
  const SampleStream* measured = last_turn(turn) ? targets.get() : nullptr;
  for_own_samples({student_.get(), measured}, [&](int64_t i) {
    const at::Tensor out = dense_block_forward(context_.model.config(), weights, rotary_,
                                               student_->load(i), context_.pool);
    if (last_turn(turn)) {
      const Closeness one = measure_closeness(out, targets->load(i));
      double* values = closeness.data() + i * closeness_values;
      values[0] = one.squared_error;
      values[1] = one.squared_target;
      values[2] = one.cosine;
      values[3] = one.tokens;
    }
    student_->store(i, out, packed(block, i));
  });
  if (last_turn(turn)) report_block(block, closeness);
  if (!wanted) return;
  student_inputs_[{block + 1, turn}] = student_;
  if (context_.plan.begins_band(turn)) teacher_inputs_[block + 1] = targets;
}

void BlockCompute::report_block(int block, std::span<const double> closeness) {
  const std::vector<double> all = share_.gather_in_order(replicas(), closeness, closeness_values);
  Closeness sum;
  for (size_t i = 0; i < all.size(); i += closeness_values) {
    sum.squared_error += all[i];
    sum.squared_target += all[i + 1];
    sum.cosine += all[i + 2];
    sum.tokens += all[i + 3];
  }
  BlockReport& report = reports_[block];
  report.cosine = sum.cosine / sum.tokens;
  report.relative_error =
      sum.squared_target > 0 ? std::sqrt(sum.squared_error / sum.squared_target) : 0;
  report.bits_per_weight = live_->bits_per_weight();
  reported_[block] = true;
  if (context_.writer != nullptr && logged_.insert(block).second) {
    context_.writer->begin_event(packed_line(report));
  }
  context_.observer.block_packed(report);
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
  link_->send(std::make_shared<SampleBox>(std::move(streams)));
}

bool BlockCompute::all_sent() {
  pump();
  return !link_ || link_->all_sent();
}

void BlockCompute::expect(int turn) {
  const int streams = travellers(turn);
  link_->expect(streams * share_.own_count(), [this, streams] {
    SampleBox::Streams all;
    for (int i = 0; i < streams; ++i) all.push_back(new_stream());
    return std::make_shared<SampleBox>(std::move(all));
  });
}

// One block reads streams at a time. Before its visit they are its inputs, but for targets that
// were kept. During the visit the teacher's stream has become the targets.
KeptStreams BlockCompute::at_hand() const {
  if (!student_inputs_.empty()) {
    const auto& [block, turn] = student_inputs_.begin()->first;
    return {block, turn, targets_.contains(block)};
  }
  return visit_.begun ? KeptStreams{visit_.block, visit_.turn, true} : KeptStreams{};
}

void BlockCompute::keep_streams() {
  if (!frontier_) return;
  const KeptStreams kept = at_hand();
  auto keeps = static_cast<std::byte>(context_.options.resume_costs.keeps(kept.block));
  replicas().broadcast(std::span(&keeps, 1), 0);
  if (keeps == std::byte{0}) return;
  const Stream& student =
      student_inputs_.empty() ? student_ : student_inputs_.at({kept.block, kept.turn});
  const Stream& teacher = (kept.targets ? targets_ : teacher_inputs_).at(kept.block);
  frontier_->write(kept, *student, *teacher);
}

KeptStreams BlockCompute::take_kept_streams(const std::vector<BlockDone>& done) {
  if (!frontier_) return {};
  const KeptStreams kept = frontier_->find(context_.plan, done);
  if (!kept.any()) return {};
  const Stream student = new_stream(), teacher = new_stream();
  if (!frontier_->read(kept, *student, *teacher)) return {};
  student_inputs_[{kept.block, kept.turn}] = student;
  (kept.targets ? targets_ : teacher_inputs_)[kept.block] = teacher;
  return kept;
}

void BlockCompute::leave_streams() {
  if (link_) link_->leave();
}

std::vector<BlockReport> BlockCompute::reports() const {
  std::vector<BlockReport> known;
  for (const BlockReport& report : reports_) {
    if (reported_[static_cast<size_t>(report.block)]) known.push_back(report);
  }
  return known;
}

}  // namespace bitmill
