#pragma once
// The learned values and optimiser state of a live block on their way to and from its file. Both
// may be as large as the block's weights several times over: moments stay on the ranks that own
// them, and rank 0 holds no more than one tensor of the file at a time, of one linear.

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"
#include "method/learned.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

struct LiveState {
  const LearnedLayout& layout;
  const at::Tensor& learned;  // [layout.size()], the same on every rank
  ShardedOptimizer& optimizer;
};

// What the file holds: learned, first_moment and second_moment of all small segments together,
// float32, and of each large one alone, in `large` (float32 or bfloat16), as "learned.NAME.LINEAR".
// To produce one is collective: every rank produces each of them when rank 0 does, and what rank 0
// gets is whole. Views of `state`.
std::vector<TensorSource> state_tensors(const LiveState& state, Dtype large);

// Collective; `file` on rank 0, else null. Everything but the optimiser's count of steps.
void restore_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm);

// Collective; `file` on rank 0, else null. The bytes of a tensor of the file, on every rank.
// FormatError when they are not into.size() many.
void broadcast_tensor(const SafetensorsFile* file, const std::string& name,
                      std::span<std::byte> into, Communicator& comm);

// What large segments and their moments lose when they are kept in 16 bit: each value is rounded to
// bfloat16.
void round_large(const LiveState& state);

}  // namespace bitmill
