#include "pipeline/tuning/tuning_walk.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "channel/channel.hpp"
#include "device/device_full.hpp"
#include "model/block_forward.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {

int64_t sent_ahead_bytes(int stages, int64_t own, int64_t sample_bytes) {
  if (stages == 1) return 0;
  int64_t training = 0;
  const std::vector<PositionRange> cuts = micro_batches({0, own}, stages, most_in_micro_batch);
  for (int stage = 0; stage < stages && !cuts.empty(); ++stage) {
    training =
        std::max(training, cuts.front().size() * most_sent_ahead(stages, stage, std::ssize(cuts)));
  }
  const int64_t measuring = Channel::most_under_way(static_cast<size_t>(sample_bytes));
  return std::max(training, measuring) * sample_bytes;
}

SumsHeld most_sums_held(int64_t batch, const Mesh& mesh) {
  SumsHeld most;
  for (int replica = 0; replica < mesh.replicas; ++replica) {
    const PositionRange own = owned_positions(batch, mesh.replicas, replica);
    const std::vector<TreeAddition> additions = local_additions(batch, mesh.replicas, replica);
    size_t made = 0;
    for (const PositionRange& cut : micro_batches(own, mesh.stages, most_in_micro_batch)) {
      while (made < additions.size() && additions[made].node.end <= cut.end) ++made;
      most.between = std::max(most.between, cut.end - own.begin - static_cast<int64_t>(made));
      most.of_block = std::max(most.of_block, cut.size());
    }
  }
  return most;
}

TuningWalk::TuningWalk(const WalkContext& context) : context_(context) {}

at::Tensor TuningWalk::to_travel(const at::Tensor& value) const {
  if (context_.rank.carrier() == nullptr) return context_.device.fetch(value);
  return value.detach().to(context_.device.element()).contiguous();
}

void TuningWalk::send(const at::Tensor& value, int to) {
  context_.rank.streams().start_send(to_travel(value), to);
}

void TuningWalk::send_in_place(const at::Tensor& value) {
  const at::Tensor ready = to_travel(value);
  context_.rank.streams().wait_for_place(ready.nbytes(), context_.rank.next());
  context_.rank.streams().start_send(ready, context_.rank.next());
}

at::Tensor TuningWalk::receive(int from) {
  const bool by_host = context_.rank.carrier() == nullptr;
  const at::Tensor value = at::empty({context_.seq_len, context_.config.hidden_size},
                                     at::device(context_.rank.streams().place())
                                         .dtype(by_host ? at::kFloat : context_.device.element()));
  context_.rank.streams().receive(value, from);
  return context_.device.bring(value);
}

void TuningWalk::for_samples(int64_t count, const std::function<std::string(int64_t)>& place,
                             const std::function<void(int64_t)>& task) const {
  if (context_.device.torch().is_cpu()) return context_.device.for_units(count, task);
  context_.device.for_units(count, [&](int64_t i) { at_place(place(i), [&] { task(i); }); });
}

std::string TuningWalk::of_block(const char* what, int i) const {
  return fmt::format("{} of block {}", what, context_.stage.number_of(i));
}

SampleStream& TuningWalk::slots(int64_t count) {
  if (!slots_ || slots_->count() < count) {
    slots_.reset();  // gives its part of the budget back first
    slots_ = std::make_unique<SampleStream>(context_.budget, count, context_.seq_len,
                                            context_.config.hidden_size);
  }
  return *slots_;
}

at::Tensor TuningWalk::take_in(const WalkEnds& ends, int64_t own_index) {
  if (is_first()) return ends.input(own_index);
  return receive(context_.rank.previous());
}

// One batch on its way through this stage. The inputs of blocks wait in slots of saved_. A
// micro-batch reuses the slots of one that has finished.
class TuningWalk::Step {
 public:
  Step(TuningWalk& walk, const SampleShare& share, int64_t step, const WalkEnds& ends,
       const at::Tensor& losses)
      : walk_(walk),
        context_(walk.context_),
        share_(share),
        step_(step),
        ends_(ends),
        losses_(losses),
        cuts_(micro_batches(
            owned_positions(share.batch_size(step), share.replicas(), share.replica()),
            context_.rank.mesh().stages, most_in_micro_batch)),
        actions_(one_forward_one_backward(context_.rank.mesh().stages, context_.rank.stage(),
                                          std::ssize(cuts_))),
        live_(std::min<int64_t>(context_.rank.mesh().stages - context_.rank.stage(),
                                std::ssize(cuts_))),
        width_(cuts_.empty() ? 0 : cuts_.front().size()),
        levels_(context_.stage.blocks() + (walk.is_last() ? 1 : 0)),
        saved_(walk.slots(live_ * width_ * levels_)) {
    for (int b = 0; b < context_.stage.blocks(); ++b) {
      sums_.emplace_back(
          share.batch_size(step), share.replicas(), share.replica(),
          FlatShape{context_.stage.block(b).layout().size(), at::kFloat, context_.device.torch()},
          &walk.sums_memory_);
    }
  }

  std::vector<Partials> carry_out() {
    for (const MicroAction& action : actions_) {
      if (action.forward) {
        forward(action.micro_batch);
      } else {
        backward(action.micro_batch);
      }
    }
    context_.rank.streams().flush();
    std::vector<Partials> all;
    for (GrowingSums& sums : sums_) all.push_back(sums.take());
    return all;
  }

 private:
  int64_t slot(int64_t micro_batch, int64_t i, int level) const {
    return (micro_batch % live_ * width_ + i) * levels_ + level;
  }
  int64_t own_index(int64_t micro_batch, int64_t i) const {
    return share_.own_index(step_, cuts_[static_cast<size_t>(micro_batch)].begin + i);
  }
  Draw draw(int64_t micro_batch, int64_t i) const { return ends_.draw(own_index(micro_batch, i)); }
  int64_t count(int64_t micro_batch) const {
    return cuts_[static_cast<size_t>(micro_batch)].size();
  }
  // Runs one task for each sample of a micro-batch. `what`: as for at_place().
  template <class Task>
  void for_samples(const std::string& what, int64_t micro_batch, const Task& task) {
    const auto place = [&](int64_t i) {
      return fmt::format("{}, sample {}", what,
                         share_.own()[static_cast<size_t>(own_index(micro_batch, i))]);
    };
    walk_.for_samples(count(micro_batch), place, task);
  }
  // A block of the stage, ready for passes.
  struct Expanded {
    at::Tensor values;  // learned
    std::unique_ptr<StudentBlock> student;
  };
  Expanded expand(int b) {
    Expanded block;
    at_place(walk_.of_block("the operands", b), [&] {
      block.values = context_.stage.values(b);
      block.student = context_.stage.block(b).expand(context_.backend, block.values);
    });
    return block;
  }
  void save(int64_t slot, const at::Tensor& x) { saved_.store(slot, context_.device.fetch(x)); }
  at::Tensor saved(int64_t slot) const { return context_.device.bring(saved_.load(slot)); }

  void forward(int64_t micro_batch) {
    std::vector<at::Tensor> x;
    for (int64_t i = 0; i < count(micro_batch); ++i) {
      x.push_back(walk_.take_in(ends_, own_index(micro_batch, i)));
    }
    for (int b = 0; b < context_.stage.blocks(); ++b) {
      const Expanded block = expand(b);
      for_samples(walk_.of_block("the forward pass", b), micro_batch, [&](int64_t i) {
        save(slot(micro_batch, i, b), x[i]);
        x[i] = block.student->output(x[i], block.values, draw(micro_batch, i));
      });
    }
    for (int64_t i = 0; i < std::ssize(x); ++i) {
      if (walk_.is_last()) {
        save(slot(micro_batch, i, context_.stage.blocks()), x[i]);
      } else {
        walk_.send(x[i], context_.rank.next());
      }
    }
  }

  void backward(int64_t micro_batch) {
    const PositionRange& positions = cuts_[static_cast<size_t>(micro_batch)];
    std::vector<at::Tensor> gradients(static_cast<size_t>(positions.size()));
    begin_backward(micro_batch, gradients);
    for (int b = context_.stage.blocks() - 1; b >= 0; --b) {
      const Expanded block = expand(b);
      GrowingSums& sums = sums_[static_cast<size_t>(b)];
      sums.open(positions);
      for_samples(walk_.of_block("the gradient", b), micro_batch, [&](int64_t i) {
        const at::Tensor& unit = sums.at(positions.begin + i);
        gradients[i] =
            block.student->backward(saved(slot(micro_batch, i, b)), gradients[i], block.values,
                                    unit, b > 0 || !walk_.is_first(), draw(micro_batch, i));
        context_.stage.block(b).scale(unit);
      });
      sums.merge_before(positions.end, [&](const at::Tensor& into, const at::Tensor& from) {
        add_spread(into, from, context_.device.host());
      });
    }
    if (!walk_.is_first()) {
      for (const at::Tensor& gradient : gradients) {
        walk_.send(gradient, context_.rank.previous());
      }
    }
  }

  // Fills in the gradients of the stage's outputs.
  void begin_backward(int64_t micro_batch, std::vector<at::Tensor>& gradients) {
    if (!walk_.is_last()) {
      for (at::Tensor& gradient : gradients) {
        gradient = walk_.receive(context_.rank.next());
      }
      return;
    }
    for_samples("the loss", micro_batch, [&](int64_t i) {
      const int64_t own = own_index(micro_batch, i);
      const at::Tensor output = saved(slot(micro_batch, i, context_.stage.blocks()));
      losses_[own].fill_(static_cast<float>(ends_.loss(own, output, &gradients[i])));
    });
  }

  TuningWalk& walk_;
  const WalkContext& context_;
  const SampleShare& share_;
  const int64_t step_;
  const WalkEnds& ends_;
  const at::Tensor losses_;
  const std::vector<PositionRange> cuts_;
  const std::vector<MicroAction> actions_;
  const int64_t live_;   // most micro-batches between their forward and backward pass
  const int64_t width_;  // most samples of a micro-batch
  const int levels_;
  SampleStream& saved_;
  std::deque<GrowingSums> sums_;  // of each block; they cannot be moved
};

std::vector<Partials> TuningWalk::train(const SampleShare& share, int64_t step,
                                        const WalkEnds& ends, const at::Tensor& losses) {
  return Step(*this, share, step, ends, losses).carry_out();
}

void TuningWalk::measure(const SampleShare& share, const WalkEnds& ends, const at::Tensor& trained,
                         const at::Tensor& losses) {
  for (const PositionRange& cut :
       micro_batches({0, share.own_count()}, context_.rank.mesh().stages, most_in_micro_batch)) {
    std::vector<at::Tensor> x;
    for (int64_t i = cut.begin; i < cut.end; ++i) x.push_back(take_in(ends, i));
    const auto for_all = [&](const std::string& what, const auto& task) {
      const auto place = [&](int64_t i) {
        return fmt::format("{}, sample {}", what, share.own()[static_cast<size_t>(cut.begin + i)]);
      };
      for_samples(cut.size(), place, task);
    };
    for (int b = 0; b < context_.stage.blocks(); ++b) {
      BlockWeights weights;
      at_place(of_block("the packed weights", b), [&] {
        weights = context_.stage.block(b).deployed(context_.stage.part(b, trained));
      });
      for_all(of_block("the packed forward pass", b), [&](int64_t i) {
        x[i] = dense_block_forward(context_.config, weights, context_.rotary, x[i],
                                   context_.device.host());
      });
    }
    if (is_last()) {
      for_all("the loss", [&](int64_t i) {
        const int64_t own = cut.begin + i;
        losses[own].fill_(static_cast<float>(ends.loss(own, x[i], nullptr)));
      });
    } else {
      for (const at::Tensor& output : x) send_in_place(output);
    }
  }
  context_.rank.streams().flush();
}

}  // namespace bitmill
