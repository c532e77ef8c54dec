#pragma once
// The way of a replica's samples through the stages of a model whose scales are tuned: forward, the
// divergence from the teacher, and back, in micro-batches (schedule/micro_batches.hpp).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "backend/backend.hpp"
#include "method/next_token_divergence.hpp"
#include "model/sample_stream.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "pipeline/sums/tree_sum.hpp"
#include "pipeline/tuning/tuned_stage.hpp"

namespace bitmill {

// Samples of a micro-batch: a block's operands are made anew for each, which costs about as much as
// some tokens do, and the inputs of all its blocks wait in memory for the way back.
inline constexpr int64_t most_in_micro_batch = 8;

// What the ends of the pipeline hold of this rank's own samples; `first` is added to their index.
struct StreamEnds {
  const SampleStream* inputs = nullptr;   // on the first stage: embeddings
  const SampleStream* targets = nullptr;  // on the last: the teacher's last block's outputs
  int64_t first = 0;
};

struct WalkContext {
  MeshRank& rank;
  const TunedStage& stage;
  const ModelConfig& config;
  const Rotary& rotary;
  const Backend& backend;
  const NextTokenDivergence* divergence;  // on the last stage
  StreamBudget& budget;
  ThreadPool& pool;
  int64_t seq_len;
};

// Every call is made by all stages of a replica. Memory of a rank: operands of one block, and of
// every sample between its passes the inputs of the stage's blocks, which follow the budget.
class TuningWalk {
 public:
  explicit TuningWalk(const WalkContext& context);

  // The batch of `step`: what this replica adds up of the gradients of the stage's factors. On the
  // last stage `losses` (float32) gets, by own index, the divergence of every sample of it, finite
  // or not.
  Partials train(const SampleShare& share, int64_t step, const StreamEnds& ends,
                 const at::Tensor& losses);
  // All own samples, forward alone, by the model as it would be stored with `factors`. REQUIRES:
  // every stage's can_store() of them.
  void measure(const SampleShare& share, const StreamEnds& ends, const at::Tensor& factors,
               const at::Tensor& losses);

 private:
  class Step;

  bool is_first() const { return context_.rank.stage() == 0; }
  bool is_last() const { return context_.rank.stage() == context_.rank.mesh().stages - 1; }
  // Of one sample, activations or their gradients, to and from a neighbouring stage. Sending does
  // not wait, so that two stages that send to each other cannot block.
  void send(const at::Tensor& value, int to);
  at::Tensor receive(int from);
  at::Tensor take_in(const StreamEnds& ends, int64_t own_index);

  const WalkContext context_;
};

}  // namespace bitmill
