#pragma once
// Writes the learned values and the optimiser state of a live block to its file, and reads them
// back. Each of them may be several times as large as the block's weights. So moments stay on the
// ranks that own them, and rank 0 holds only one tensor of the file at a time, of one linear.

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"
#include "method/learned.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

struct LiveState {
  const LearnedLayout& layout;
  const at::Tensor& learned;  // [layout.size()], the same on every rank; where the rank computes
  ShardedOptimizer& optimizer;
};

// The tensors of the file. All small segments together are three tensors: learned, first_moment and
// second_moment, float32. Each large segment has three of its own, of dtype `large` (float32 or
// bfloat16), such as "learned.NAME.LINEAR". Producing a tensor is collective: every rank produces
// each of them when rank 0 does; only rank 0 gets the whole tensor. The result refers to `state`
// and `pool`.
std::vector<TensorSource> state_tensors(const LiveState& state, Dtype large, ThreadPool& pool);

// The same of large segments alone.
std::vector<TensorSource> large_state_tensors(const LiveState& state, Dtype large,
                                              ThreadPool& pool);
// On a rank that does not write, while rank 0 produces all of the tensors, in order, `times` times.
void take_part(const std::vector<TensorSource>& tensors, int times);

// Collective; `file` on rank 0, else null. Restores everything except the optimiser's count of
// steps.
void restore_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm);
void restore_large_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm);

// Collective; `file` on rank 0, else null. Reads the bytes of a tensor of the file into `into` on
// every rank. FormatError when the tensor does not have into.size() bytes.
void broadcast_tensor(const SafetensorsFile* file, const std::string& name,
                      std::span<std::byte> into, Communicator& comm);

// Rounds the values of large segments and their moments to bfloat16: what they lose when they are
// kept in 16 bits.
void round_large(const LiveState& state, ThreadPool& pool);

}  // namespace bitmill
