#pragma once
// The one block that is in memory. It holds the weights while the teacher needs them, the student
// while it is trained, and the packed linears after pack(). What is not needed any more is freed at
// once.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "checkpoint/run_writer.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "format/packed_linear.hpp"
#include "method/input_moments.hpp"
#include "method/saliency.hpp"
#include "method/student_block.hpp"
#include "model/source_model.hpp"
#include "pipeline/blocks/live_state.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

// What is known about the inputs of a block's linears when the block is quantized.
struct InputStatistics {
  at::Tensor saliency;  // of every input channel, in SaliencyLayout's order
  at::Tensor moments;   // second moments, in MomentLayout's order; undefined where not needed
};

class LiveBlock {
 public:
  // `weights`: those of the block, by SourceModel::load_block(). The device outlives the block.
  LiveBlock(const SourceModel& model, BlockWeights weights, int block,
            const QuantizeOptions& options, int64_t steps_per_epoch, const Replicas& replicas,
            const Device& device);

  const std::vector<LinearShape>& shapes() const { return shapes_; }
  // The teacher's weights on the device; valid until quantize().
  const BlockWeights& weights() const { return device_weights_; }

  // Fixes mask, codes and first values on the device (on the host with coordinate descent), from
  // the statistics of the linears' inputs, and makes the student. `backend` is null on a rank that
  // has no samples: then no student is made. The teacher's weights of the quantized linears are
  // freed.
  void quantize(InputStatistics inputs, const Backend* backend, const Rotary& rotary);

  const StudentBlock& student() const { return *student_; }
  const at::Tensor& learned() const { return learned_; }  // on the device
  // Collective: one step over a batch; see ShardedOptimizer.
  void step(int64_t batch_size, const SumUnit& unit);
  // After the last step of an epoch: rounds what is kept in 16 bits between epochs.
  void finish_epoch();

  double bits_per_weight() const;
  // Rounds to what is stored, and frees the student and what was learned. To be called before
  // packed_tensors() and deployed_weights().
  void pack();
  // The packed tensors, to be written, in the name order of the family.
  std::vector<TensorSource> packed_tensors() const;
  // Dense weights on the device, with exactly the packed values; linears that are kept stay as they
  // are.
  BlockWeights deployed_weights() const;

  // Collective. Both commit all that training needs to go on, as RunWriter::save_epoch() and
  // save_steps() do. `writer` is null except on rank 0; `beside` is that of rank 0's writer.
  // `losses` ([samples] float32) are those of an unfinished epoch. After save_epoch() the block may
  // change and go.
  void save_epoch(RunWriter* writer, bool beside, const Progress& done, const at::Tensor& losses,
                  const std::string& event);
  void save_steps(RunWriter* writer, const Progress& done, const at::Tensor& losses);
  // Replaces quantize() for a block whose state was saved. `run_dir` is null except on rank 0.
  // Returns the saved losses.
  at::Tensor restore(const RunDir* run_dir, const Backend* backend, const Rotary& rotary,
                     int64_t samples);
  // Replaces quantize() and pack() for a turn that is packed: reads its packed tensors.
  void reload(const RunDir* run_dir, int turn);

 private:
  // A tensor that coordinate descent fixed and that cannot be computed from the weights alone.
  struct FrozenPart {
    std::string name;
    Dtype dtype;
    at::Tensor tensor;
  };
  std::vector<FrozenPart> frozen_parts() const;
  // All tensors of the block's file. They refer to this block and to `losses`.
  std::vector<TensorSource> tensors_to_save(const Progress& done, const at::Tensor& losses);

  LiveState state() { return {*layout_, learned_, *optimizer_}; }
  // Makes linears_ from the weights, saliency_ and mean_squares_. `finish` may change each first
  // value.
  void begin_linears(const std::function<void(size_t role, InitialLinear&)>& finish);
  // The weight that is quantized, float32: on the device, or on the host for coordinate descent.
  // The teacher's copy on the device is given up.
  at::Tensor take_source(size_t role);
  void begin_training(const Backend* backend, const Rotary& rotary);

  const int block_;
  const SourceModel& model_;
  const QuantizeOptions& options_;
  const Replicas replicas_;
  Communicator& comm_;  // its words
  const Device& device_;
  ThreadPool& pool_;  // the host's
  const std::vector<LinearShape> shapes_;
  BlockWeights weights_;         // float32, on the host
  BlockWeights device_weights_;  // the same on the device; on a CPU the same tensors
  const RateCurve rates_;
  at::Tensor saliency_;
  at::Tensor mean_squares_;              // [MomentLayout's channels]; empty where not needed
  std::vector<BlockLinear> linears_;     // by role
  std::optional<LearnedLayout> layout_;  // of the quantized linears
  at::Tensor learned_;                   // [layout_->size()]
  std::unique_ptr<ShardedOptimizer> optimizer_;
  std::unique_ptr<StudentBlock> student_;
  std::vector<std::shared_ptr<const PackedLinear>> packed_;  // by role; null where kept
};

}  // namespace bitmill
