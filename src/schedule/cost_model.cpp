#include "schedule/cost_model.hpp"

#include <algorithm>
#include <bit>

#include "schedule/reduction_tree.hpp"

namespace bitmill {
namespace {

constexpr int64_t float_bytes = 4;

// Own samples, and how often as many of a batch as are trained at once.
struct Share {
  int64_t samples = 0;
  int64_t rounds = 0;
};

Share share_of(const Workload& work, const Mesh& mesh, int replica, int at_once) {
  Share share;
  const auto add = [&](int64_t batch_size, int64_t times) {
    const int64_t own = owned_positions(batch_size, mesh.replicas, replica).size();
    share.samples += times * own;
    share.rounds += times * ((own + at_once - 1) / at_once);
  };
  add(work.batch, work.samples / work.batch);
  add(work.samples % work.batch, 1);
  return share;
}

// Of one step: partial sums to the owner of each slice, the owner's AdamW, values to everybody.
double step_seconds(const Workload& work, const Machine& machine, int replicas) {
  constexpr double passes = 7;  // AdamW reads a gradient and reads and writes three vectors
  const auto bytes = static_cast<double>(work.learned * float_bytes);
  const double adam = passes * bytes / replicas / machine.memory_bytes_per_s;
  if (replicas == 1) return adam;
  // A power of two that divides the batch leaves one partial sum, others up to log2 of the batch.
  const bool whole =
      std::has_single_bit(static_cast<unsigned>(replicas)) && work.batch % replicas == 0;
  const int partials =
      whole ? 1 : static_cast<int>(std::bit_width(static_cast<uint64_t>(work.batch)));
  return adam + 2 * machine.link_latency_s * (replicas - 1) +
         (partials + 1) * bytes / machine.link_bytes_per_s;
}

}  // namespace

PlanCosts plan_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int replica) {
  const Share share = share_of(work, mesh, replica, machine.samples_at_once);
  const auto samples = static_cast<double>(share.samples);
  const int64_t steps = (work.samples + work.batch - 1) / work.batch;
  const int64_t sample_bytes = work.seq_len * work.hidden * machine.stream_bytes;
  const int64_t weight_bytes = work.weights * machine.weight_bytes;
  // Learned values, two moments, and the file's copy of them.
  const int64_t state_bytes = 3 * work.learned * float_bytes;

  PlanCosts costs;
  costs.stream_bytes = share.samples * sample_bytes;
  costs.embed_s = static_cast<double>(costs.stream_bytes) / machine.read_bytes_per_s;
  costs.load_s = static_cast<double>(work.source_bytes) / machine.read_bytes_per_s;
  costs.forward_s =
      samples * work.forward_flops / (machine.forward_flops_per_s * machine.samples_at_once);
  // Some ten passes over the weights: means, magnitudes, codes, signs, operands.
  costs.prepare_s = 10 * static_cast<double>(weight_bytes) / machine.memory_bytes_per_s +
                    static_cast<double>(state_bytes) / machine.read_bytes_per_s;
  const double unit_s = work.unit_flops / machine.unit_flops_per_s + machine.unit_s;
  costs.epoch_s = static_cast<double>(share.rounds) * unit_s +
                  static_cast<double>(steps) * step_seconds(work, machine, mesh.replicas) +
                  static_cast<double>(state_bytes) / machine.write_bytes_per_s;
  costs.pack_s = static_cast<double>(work.packed_bytes) / machine.write_bytes_per_s +
                 2 * static_cast<double>(weight_bytes) / machine.memory_bytes_per_s;
  costs.link_bytes_per_s = machine.link_bytes_per_s;
  costs.link_latency_s = machine.link_latency_s;

  costs.fixed_bytes = machine.fixed_bytes;
  const int64_t at_once =
      std::min<int64_t>(machine.samples_at_once, std::max<int64_t>(1, share.samples));
  // Operands as wide as weights, signs and codes a byte each; while it is made ready, the
  // teacher's weights too.
  costs.resident_bytes = weight_bytes + work.weights + state_bytes +
                         at_once * (work.activation_bytes + work.learned * float_bytes);
  costs.loaded_bytes = 2 * weight_bytes + work.weights + state_bytes;
  return costs;
}

}  // namespace bitmill
