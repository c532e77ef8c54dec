#pragma once
// Takes the samples of a replica through the stages of a model that is trained end to end: forward,
// the loss, and backward, in micro-batches (schedule/micro_batches.hpp).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "model/sample_stream.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "pipeline/sums/tree_sum.hpp"
#include "pipeline/tuning/trained_stage.hpp"
#include "pipeline/tuning/walk_ends.hpp"

namespace bitmill {

// At most so many samples are in a micro-batch. Each micro-batch makes a block's operands again,
// which costs about as much as some tokens do: this favours large ones. But the inputs of all
// blocks of its samples wait in memory for the backward pass: this favours small ones.
inline constexpr int64_t most_in_micro_batch = 8;

// The most bytes that the busiest rank has sent and a neighbour has not taken, outside the budget.
// `own`: samples of a batch on a replica; `sample_bytes`: the activations of one.
int64_t sent_ahead_bytes(int stages, int64_t own, int64_t sample_bytes);

// How many gradients a rank holds at once, at most, on the busiest rank of a mesh.
struct SumsHeld {
  int64_t between = 0;   // of every block, between two micro-batches
  int64_t of_block = 0;  // of the one block that is computed, more than these
};
SumsHeld most_sums_held(int64_t batch, const Mesh& mesh);

struct WalkContext {
  MeshRank& rank;
  const TrainedStage& stage;
  const ModelConfig& config;
  const Rotary& rotary;
  const Backend& backend;
  StreamBudget& budget;
  const Device& device;  // where stage, rotary and ends are
  int64_t seq_len;
};

// Samples come from streams on the host, are computed on the device, and go back.
//
// All stages of a replica make every call together. Memory of a rank: the operands and learned
// values of one block; the gradients that are added up, of one block for every sample of a
// micro-batch, and of every block for what is left of the batch's samples; and, for every sample
// between its two passes, the inputs of the stage's blocks, which keep to the budget. Beside it
// what a slow neighbour has not taken: sent_ahead_bytes().
class TuningWalk {
 public:
  explicit TuningWalk(const WalkContext& context);

  // Trains the batch of `step`. Returns, for each block of the stage, the sums that this replica
  // can make alone of the gradients of what is trained of it. On the last stage `losses` (float32)
  // gets the loss of each sample of the batch, at its own index, finite or not.
  std::vector<Partials> train(const SampleShare& share, int64_t step, const WalkEnds& ends,
                              const at::Tensor& losses);
  // Only the forward pass, for all own samples, with the model as it would be stored with
  // `trained`. On the last stage `losses` gets the loss of each sample. REQUIRES: can_store() of
  // `trained` on every stage.
  void measure(const SampleShare& share, const WalkEnds& ends, const at::Tensor& trained,
               const at::Tensor& losses);

 private:
  class Step;

  bool is_first() const { return context_.rank.stage() == 0; }
  bool is_last() const { return context_.rank.stage() == context_.rank.mesh().stages - 1; }
  // What is sent of a value, where the channel takes it: float32 on the host; on a GPU what the
  // next stage computes with, so that nothing is lost and as little as can be moves.
  at::Tensor to_travel(const at::Tensor& value) const;
  // The activations of one sample, or their gradients, to and from a neighbouring stage. Sending
  // does not wait for the neighbour, so two stages that send to each other cannot block. The order
  // of the forwards and backwards of a step limits what is under way.
  void send(const at::Tensor& value, int to);
  // To the next stage, where nothing comes back that could limit what is under way: waits until
  // there is place.
  void send_in_place(const at::Tensor& value);
  at::Tensor receive(int from);
  at::Tensor take_in(const WalkEnds& ends, int64_t own_index);
  // Calls task(i) for each i in [0, count), in the lanes of the device. Where a GPU runs out of
  // memory, the error begins with place(i).
  void for_samples(int64_t count, const std::function<std::string(int64_t)>& place,
                   const std::function<void(int64_t)>& task) const;
  // "the forward pass of block 3": block i of the stage.
  std::string of_block(const char* what, int i) const;
  // Room for `count` activations between two blocks, with any values.
  SampleStream& slots(int64_t count);

  const WalkContext context_;
  // Kept from step to step: to map it anew would cost a page fault for every 4 KiB.
  std::unique_ptr<SampleStream> slots_;
  SumMemory sums_memory_;  // the same, of gradients
};

}  // namespace bitmill
