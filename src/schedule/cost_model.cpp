#include "schedule/cost_model.hpp"

#include <algorithm>
#include <bit>

#include "schedule/reduction_tree.hpp"

namespace bitmill {
namespace {

// Of the gradients of two samples. On a processor it is part of what a unit takes.
double addition_seconds(const Workload& work, const Machine& machine) {
  if (!machine.counts_parts()) return 0;
  return parts_seconds(work.on_device.addition, machine.part_rates());
}

double unit_seconds(const Workload& work, const Machine& machine) {
  const double unit = machine.counts_parts()
                          ? parts_seconds(work.on_device.unit, machine.part_rates())
                          : work.unit_flops / machine.unit_flops_per_s;
  return unit + machine.unit_s;
}

double forward_seconds(const Workload& work, const Machine& machine) {
  if (machine.counts_parts()) return parts_seconds(work.on_device.forward, machine.part_rates());
  return work.forward_flops / (machine.forward_flops_per_s * machine.samples_at_once);
}

// Seconds of the gradients of `own` samples in a step. Each thread computes a sample of its own;
// when fewer samples than threads are left, all threads work on these together.
double units_seconds(const Workload& work, const Machine& machine, int64_t own) {
  const double unit = unit_seconds(work, machine);
  const int64_t threads = machine.samples_at_once;
  const int64_t rounds = own / threads, rest = own % threads;
  double seconds = static_cast<double>(rounds) * unit;
  if (own > 1) seconds += static_cast<double>(own - 1) * addition_seconds(work, machine);
  if (rest == 0) return seconds;
  const double helpers = static_cast<double>(threads) / static_cast<double>(rest) - 1;
  return seconds + unit / (1 + machine.thread_gain * helpers);
}

// What one replica does in an epoch.
struct Share {
  int64_t samples = 0;
  double units_s = 0;
};

Share share_of(const Workload& work, const Machine& machine, const Mesh& mesh, int replica) {
  Share share;
  const auto add = [&](int64_t batch_size, int64_t times) {
    const int64_t own = owned_positions(batch_size, mesh.replicas, replica).size();
    share.samples += times * own;
    share.units_s += static_cast<double>(times) * units_seconds(work, machine, own);
  };
  add(work.batch, work.samples / work.batch);
  add(work.samples % work.batch, 1);
  return share;
}

// Seconds of one step after its gradients: partial sums go to the owner of each slice, the owner
// runs AdamW, and sends the new values to everybody.
double step_seconds(const Workload& work, const Machine& machine, int replicas) {
  double adam = adam_seconds(work, machine, replicas);
  if (machine.counts_parts()) adam += parts_seconds(work.on_device.step, machine.part_rates());
  if (replicas == 1) return adam;
  return adam + 2 * machine.link_latency_s * (replicas - 1) +
         static_cast<double>(exchange_bytes(work, replicas)) / machine.link_bytes_per_s;
}

// Bytes that are held while they are written beside training: a copy of a state, and a packed
// block.
int64_t being_written(const Workload& work) {
  return work.save_beside ? work.state_bytes + work.packed_bytes : 0;
}

// Floats of what is learned, with its moments and sums, `units` of them side by side.
int64_t learning_floats(const Workload& work, int replicas, int replica, int units) {
  const int64_t batch = std::min(work.batch, work.samples);
  return work.learned + 2 * work.learned / replicas +
         summing_floats(work.learned, batch, replicas, replica, units);
}

int64_t statistics_floats(const Workload& work, int replicas, int replica, int units) {
  if (work.statistics == 0) return 0;
  const int64_t batch = std::min(work.batch, work.samples);
  return 2 * work.statistics + summing_floats(work.statistics, batch, replicas, replica, units);
}

// Memory of a block without its streams, where device and host are one. While it trains: operands
// as wide as weights, signs and codes of one byte each, learned values with their moments and sums,
// and for each thread the activations of one sample. Before and after that: the dense weights, what
// is made of them, and the statistics of their inputs; where operands are narrower than float32,
// the dense weights are there in both types. The stage's leader also holds what is being written.
void add_memory(const Workload& work, const Machine& machine, const Mesh& mesh, int replica,
                PlanCosts& costs) {
  const int threads = machine.samples_at_once, replicas = mesh.replicas;
  const int64_t batch = std::min(work.batch, work.samples);
  const int64_t block = work.weights * (machine.weight_bytes + 1);
  const int64_t of_thread = work.activation_bytes + work.product_bytes;
  costs.resident_bytes = block + float_bytes * learning_floats(work, replicas, replica, threads) +
                         std::min<int64_t>(threads, batch) * of_thread;
  const int64_t narrow = machine.weight_bytes < float_bytes ? machine.weight_bytes : 0;
  costs.loaded_bytes = block + work.weights * (float_bytes + narrow) +
                       float_bytes * statistics_floats(work, replicas, replica, threads);
  if (replica != 0) return;
  costs.resident_bytes += being_written(work);
  costs.loaded_bytes += being_written(work);
}

// The same where the device has memory of its own, one unit at a time; streams get what is left.
void add_device_memory(const Workload& work, const Machine& machine, const Mesh& mesh, int replica,
                       PlanCosts& costs) {
  const DeviceWork& device = work.device;
  costs.own_device = true;
  costs.host_fixed_bytes = machine.host_fixed_bytes;
  costs.host_bytes = host_block_bytes(work, machine, replica == 0);
  // A unit reads three streams: input, targets, Y_homo.
  costs.resident_bytes = device.operand_bytes + device.unit_bytes + 3 * device.sample_bytes +
                         float_bytes * learning_floats(work, mesh.replicas, replica, 1);
  costs.loaded_bytes = device.weight_bytes + device.forward_bytes + device.sample_bytes +
                       float_bytes * statistics_floats(work, mesh.replicas, replica, 1);
  costs.arriving_bytes = device.arriving_bytes;
  const int64_t block = std::max(costs.resident_bytes, costs.loaded_bytes);
  costs.device_stream_memory =
      machine.memory_bytes == 0
          ? INT64_MAX
          : std::max<int64_t>(0, machine.memory_bytes - machine.fixed_bytes - block);
}

// Seconds to commit a file of `bytes` to the run folder.
double write_seconds(const Machine& machine, int64_t bytes) {
  return machine.write_latency_s + static_cast<double>(bytes) / machine.write_bytes_per_s;
}

// Seconds of an epoch that trains for `training_s`. Beside training, a state takes a copy (read and
// written once), and its writing only counts where it takes longer than the next epoch.
double epoch_seconds(const Workload& work, const Machine& machine, double training_s) {
  const double writing_s = write_seconds(machine, work.state_bytes);
  if (!work.save_beside) return training_s + writing_s;
  const double copying_s = 2 * static_cast<double>(work.state_bytes) / machine.memory_bytes_per_s;
  return std::max(training_s + copying_s, writing_s);
}

}  // namespace

PlanCosts plan_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int replica) {
  const Share share = share_of(work, machine, mesh, replica);
  const auto samples = static_cast<double>(share.samples);
  const auto steps = static_cast<double>(work.steps_per_epoch());
  const int64_t sample_bytes = work.seq_len * work.hidden * work.stream_bytes;
  const double forward_flops_per_s = machine.forward_flops_per_s * machine.samples_at_once;

  PlanCosts costs;
  costs.stream_bytes = share.samples * sample_bytes;
  costs.embed_s = static_cast<double>(costs.stream_bytes) / machine.read_bytes_per_s;
  costs.load_s = static_cast<double>(work.source_bytes) / machine.read_bytes_per_s;
  costs.forward_s = samples * forward_seconds(work, machine);
  // Every replica does the coordinate descent of the whole block.
  costs.first_s = (samples * work.statistics_flops + work.descent_flops) / forward_flops_per_s;
  const auto weights = static_cast<double>(work.weights);
  costs.prepare_s = weights / machine.prepare_weights_per_s +
                    static_cast<double>(work.state_bytes) / machine.read_bytes_per_s;
  costs.epoch_s = epoch_seconds(work, machine,
                                share.units_s + steps * step_seconds(work, machine, mesh.replicas));
  costs.pack_s = weights / machine.pack_weights_per_s + write_seconds(machine, work.packed_bytes);
  costs.link_bytes_per_s = machine.link_bytes_per_s;
  costs.link_latency_s = machine.link_latency_s;

  costs.fixed_bytes = machine.fixed_bytes;
  costs.stream_memory = work.stream_memory;
  costs.assembly_bytes = work.assembly_bytes;
  costs.header_bytes = work.header_bytes;
  if (machine.own_device()) {
    add_device_memory(work, machine, mesh, replica, costs);
  } else {
    add_memory(work, machine, mesh, replica, costs);
  }
  return costs;
}

PlanCosts stage_costs(const Workload& work, const Machine& machine, const Mesh& mesh) {
  PlanCosts costs = plan_costs(work, machine, mesh, mesh.replicas - 1);
  for (int replica = 0; replica + 1 < mesh.replicas; ++replica) {
    const PlanCosts other = plan_costs(work, machine, mesh, replica);
    costs.resident_bytes = std::max(costs.resident_bytes, other.resident_bytes);
    costs.loaded_bytes = std::max(costs.loaded_bytes, other.loaded_bytes);
    costs.host_bytes = std::max(costs.host_bytes, other.host_bytes);
    costs.device_stream_memory = std::min(costs.device_stream_memory, other.device_stream_memory);
  }
  return costs;
}

double adam_seconds(const Workload& work, const Machine& machine, int replicas) {
  constexpr double passes = 7;  // read one vector (the gradient), read and write three others
  return passes * static_cast<double>(work.learned * float_bytes) / replicas /
         machine.memory_bytes_per_s;
}

int64_t exchange_bytes(const Workload& work, int replicas) {
  const int64_t batch = std::min(work.batch, work.samples);
  int64_t partials = 0;
  for (int replica = 0; replica < replicas; ++replica) {
    partials = std::max<int64_t>(partials, std::ssize(local_partials(batch, replicas, replica)));
  }
  // Slices of the other replicas' partial sums, and their slices of the new values.
  return (partials + 1) * work.learned * float_bytes / replicas * (replicas - 1);
}

int64_t host_block_bytes(const Workload& work, const Machine& machine, bool leads) {
  const int64_t ready = work.weights;  // signs and codes, a byte each
  // While the block trains, the next one's weights are where its own were.
  const int64_t making = work.weights * float_bytes + work.product_bytes / 2;
  const int64_t learning = 2 * work.learned * float_bytes;
  return machine.host_fixed_bytes + ready + std::max(making, learning) + work.packed_bytes +
         (leads ? being_written(work) : 0);
}

// At the frontier, every turn of the band has its student's stream and the targets of the block
// that it is at. A replay moves one stream more than there are turns past a block: the teacher's.
ResumeCosts resume_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int band) {
  const PlanCosts costs = plan_costs(work, machine, mesh, mesh.replicas - 1);
  const double at_once = std::min(mesh.stages, band);  // stages that replay side by side
  const auto packed_s = static_cast<double>(work.packed_bytes) / machine.read_bytes_per_s;
  const double computing_s =
      (band * (costs.load_s + packed_s) + (band + 1) * costs.forward_s) / at_once;
  double sending_s = 0;  // beside computing
  if (mesh.stages > 1) {
    const double bytes = static_cast<double>(costs.stream_bytes) / machine.link_bytes_per_s;
    sending_s = (band * machine.link_latency_s + (band + 1) * bytes) / at_once;
  }
  ResumeCosts resume;
  resume.replay_s = std::max(computing_s, sending_s);
  resume.compare_s = static_cast<double>(work.source_bytes) / machine.hash_rate() / mesh.ranks();
  resume.streams_bytes =
      int64_t{2} * band * work.samples * work.seq_len * work.hidden * work.stream_bytes;
  const auto own = static_cast<double>(2 * piece_count(band, mesh.stages) * costs.stream_bytes);
  const double compared = static_cast<double>(resume.streams_bytes) / mesh.ranks();
  resume.streams_s = own / machine.write_bytes_per_s + own / machine.read_bytes_per_s +
                     compared / machine.hash_rate();
  return resume;
}

bool ResumeCosts::keeps(int64_t blocks_before) const {
  return blocks_before >= blocks_worth_keeping();
}

int64_t ResumeCosts::blocks_worth_keeping() const {
  const double spared_s = replay_s - compare_s;
  return spared_s > 0 ? static_cast<int64_t>(streams_s / spared_s) + 1 : INT64_MAX;
}

EndCosts end_costs(const Workload& work, const Machine& machine, int ranks) {
  const auto kept = static_cast<double>(work.kept_bytes);
  const auto result = kept + static_cast<double>(work.blocks * work.packed_bytes);
  return {machine.start_s + kept / machine.hash_rate() / ranks,
          result / machine.write_bytes_per_s + result / machine.hash_rate()};
}

}  // namespace bitmill
