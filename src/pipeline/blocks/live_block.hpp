#pragma once
// The one block that is resident: weights while the teacher needs them, the student while it
// trains, the packed linears from pack on. What is not needed any more is let go at once.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "format/packed_linear.hpp"
#include "method/input_moments.hpp"
#include "method/saliency.hpp"
#include "method/student_block.hpp"
#include "model/source_model.hpp"
#include "pipeline/blocks/live_state.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

// What is known of the inputs of a block's linears when it is quantized.
struct InputStatistics {
  at::Tensor saliency;  // of every channel, in SaliencyLayout's order
  at::Tensor moments;   // in MomentLayout's order; undefined where no setting needs them
};

class LiveBlock {
 public:
  // Reads the weights.
  LiveBlock(const SourceModel& model, int block, const QuantizeOptions& options,
            int64_t steps_per_epoch, Communicator& comm, ThreadPool& pool);

  const std::vector<LinearShape>& shapes() const { return shapes_; }
  // The teacher's; valid until quantize().
  const BlockWeights& weights() const { return weights_; }

  // Fixes mask, codes and first values from what is known of the linears' inputs, and makes the
  // student; without a backend, on a rank that has no samples, there is none. The teacher's
  // quantized weights are gone afterwards.
  void quantize(InputStatistics inputs, const Backend* backend, const Rotary& rotary);

  const StudentBlock& student() const { return *student_; }
  const at::Tensor& learned() const { return learned_; }
  // Collective: one step over a batch; see ShardedOptimizer.
  void step(int64_t batch_size, const SumUnit& unit);
  // After the last step of an epoch: rounds what is kept in 16 bit from here on.
  void finish_epoch();

  double bits_per_weight() const;
  // Rounds to what is stored; the student is gone afterwards. packed_tensors() and
  // deployed_weights() need it.
  void pack();
  // The packed tensors, to be written: name order of the family.
  std::vector<TensorSource> packed_tensors() const;
  // Dense weights with exactly the packed values; kept linears as they are.
  BlockWeights deployed_weights() const;

  // Collective; run_dir on rank 0 only, as in the two below. Commits what going on needs; `losses`
  // ([samples] float32) are those of an epoch that is under way.
  void save(RunDir* run_dir, const Progress& done, const at::Tensor& losses);
  // Takes the place of quantize() for a block that was saved. Gives the losses back.
  at::Tensor restore(RunDir* run_dir, const Backend* backend, const Rotary& rotary,
                     int64_t samples);
  // Takes the place of quantize() and pack() for a turn that is packed: reads what it packed.
  void reload(RunDir* run_dir, int turn);

 private:
  // What coordinate descent fixed, which the weights alone do not tell.
  struct FrozenPart {
    std::string name;
    Dtype dtype;
    at::Tensor tensor;
  };
  std::vector<FrozenPart> frozen_parts() const;

  LiveState state() { return {*layout_, learned_, *optimizer_}; }
  // linears_ from the weights, saliency_ and mean_squares_; `finish` may change each.
  void begin_linears(const std::function<void(size_t role, InitialLinear&)>& finish);
  void begin_training(const Backend* backend, const Rotary& rotary);

  const int block_;
  const SourceModel& model_;
  const QuantizeOptions& options_;
  Communicator& comm_;
  ThreadPool& pool_;
  const std::vector<LinearShape> shapes_;
  BlockWeights weights_;
  const RateCurve rates_;
  at::Tensor saliency_;
  at::Tensor mean_squares_;              // of MomentLayout's channels; empty where not needed
  std::vector<BlockLinear> linears_;     // by role
  std::optional<LearnedLayout> layout_;  // over the quantized ones
  at::Tensor learned_;                   // [layout_->size()]
  std::unique_ptr<ShardedOptimizer> optimizer_;
  std::unique_ptr<StudentBlock> student_;
  std::vector<std::shared_ptr<const PackedLinear>> packed_;  // by role; null where kept
};

}  // namespace bitmill
