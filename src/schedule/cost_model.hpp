#pragma once
// Computes how long every action of a plan takes, and how much memory, from a model and a machine.

#include <cstdint>

#include "base/pieces.hpp"
#include "schedule/mesh.hpp"
#include "schedule/simulate.hpp"
#include "schedule/step_parts.hpp"

namespace bitmill {

inline constexpr int64_t float_bytes = 4;  // of a float32

// What a block takes on a device with memory of its own, without streams, sums and what is learned:
// those of DeviceBlockBytes (method/device_memory.hpp).
struct DeviceWork {
  int64_t operand_bytes = 0;    // while it trains
  int64_t unit_bytes = 0;       // and for the gradient of a sample
  int64_t weight_bytes = 0;     // before and after that
  int64_t forward_bytes = 0;    // and for the forward pass of a sample
  int64_t sample_bytes = 0;     // of a sample of a stream as it is computed with
  int64_t arriving_bytes = 0;   // of samples that come from the host, where some lie there
  int64_t attention_bytes = 0;  // within unit_bytes and forward_bytes
};

// What one block of a model needs, the same for all blocks, and how it is trained.
struct Workload {
  int blocks = 0, epochs = 0, lag = 0;
  int64_t batch = 0, samples = 0, seq_len = 0, hidden = 0;
  int64_t stream_bytes = 4;  // of one element of a stream
  double forward_flops = 0;  // one sample, dense
  double unit_flops = 0;     // the gradient of one sample
  BlockStep on_device;       // the same, and more, as a GPU does it
  int64_t weights = 0;       // of the linears of a block
  int64_t learned = 0;       // learned values of a block
  int64_t statistics = 0;    // floats of statistics of a block's inputs, when it is prepared
  int64_t source_bytes = 0;  // of a block on disk
  int64_t kept_bytes = 0;    // of the tensors that belong to no such block
  int64_t packed_bytes = 0;  // of the packed block that one turn makes
  int64_t state_bytes = 0;   // of a live block's file in the run folder
  // The state of an epoch is copied, and written while the next epoch trains. Otherwise training
  // waits for it.
  bool save_beside = false;
  int64_t activation_bytes = 0;  // of one sample while it is trained
  int64_t product_bytes = 0;     // that one processor thread copies of a product's operands
  // Before the first turn of a block: for the statistics of its inputs, per sample; and for
  // coordinate descent, per block.
  double statistics_flops = 0;
  double descent_flops = 0;
  // After training, rank 0 writes the result and reads it back. It holds at once so many bytes of
  // the result's data, and the headers of the whole result.
  int64_t assembly_bytes = 0;
  int64_t header_bytes = 0;
  // Bytes that the streams of a rank may take on its host; 0: no limit. The rest is scratch.
  int64_t stream_memory = 0;
  DeviceWork device;  // of the element type in which the device computes

  int64_t steps_per_epoch() const { return piece_count(samples, batch); }
};

// What a rank can do. The figures come from configs/hardware, or from measure_machine() of
// pipeline. Rates of computing are those of one thread.
struct Machine {
  double forward_flops_per_s = 1;  // dense products, sustained
  double unit_flops_per_s = 1;     // of a step's gradients, when every thread has its own sample
  double unit_s = 0;               // time of a unit in addition to its products
  // Of a kernel on a GPU, on the host. Where it is known, time is that of the
  // parts of Workload::on_device, at unit_flops_per_s and memory_bytes_per_s.
  double launch_s = 0;
  double thread_gain = 1;            // speed that one more thread adds to a sample, in threads
  double prepare_weights_per_s = 1;  // made ready to train: mask, codes, signs, operands
  double pack_weights_per_s = 1;     // rounded and packed, and made dense again
  double memory_bytes_per_s = 1;     // of the rank's own memory
  double link_bytes_per_s = 1;       // to another rank, when no other rank sends
  double link_latency_s = 0;
  double read_bytes_per_s = 1;   // of the model's files, for one rank, hashed and widened
  double hash_bytes_per_s = 0;   // of files that are only hashed; 0: read_bytes_per_s
  double write_bytes_per_s = 1;  // to the run folder, for one rank
  double write_latency_s = 0;    // for each file that is committed there
  double start_s = 0;            // from the launch of a rank to its first work
  int64_t memory_bytes = 0;      // that a rank may use, where it computes; 0: not limited
  int64_t fixed_bytes = 0;       // that a rank holds before it has work
  int64_t host_fixed_bytes = 0;  // the same on its host; 0: device and host are one memory
  int samples_at_once = 1;       // trained side by side (threads)
  int weight_bytes = 4;          // of one weight in memory, while it is used

  bool counts_parts() const { return launch_s > 0; }
  DeviceRates part_rates() const { return {unit_flops_per_s, memory_bytes_per_s, launch_s}; }
  bool own_device() const { return host_fixed_bytes > 0; }
  double hash_rate() const { return hash_bytes_per_s > 0 ? hash_bytes_per_s : read_bytes_per_s; }
};

// The costs of one replica. In a stage, no replica owns more samples than the last, and none fewer
// than the first.
PlanCosts plan_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int replica);

// The costs of a stage: those of its last replica, but with the block memory of the replica that
// needs most. That may be another one, which holds more partial sums at once.
PlanCosts stage_costs(const Workload& work, const Machine& machine, const Mesh& mesh);

// Seconds of AdamW in one step, for a slice of the learned values.
double adam_seconds(const Workload& work, const Machine& machine, int replicas);

// Bytes that a replica sends to the others of its stage in a step, and as many that it receives:
// partial sums for the owners of the slices, then the new values for everybody.
int64_t exchange_bytes(const Workload& work, int replicas);

// The most memory that a rank with work holds on its host beside its streams, where its device has
// memory of its own: the process; a block's weights as float32 with signs and codes of a byte each
// while they are made ready, or these and the first learned values twice; the packed block on the
// way back; and on a stage's leader what is written beside training. What rank 0 assembles comes on
// top. This is an estimate: no cuda backend has run on a GPU yet, so nobody could measure it.
int64_t host_block_bytes(const Workload& work, const Machine& machine, bool leads);

// What a start pays for going on in the middle. All turns of a band are under way then, each one
// block behind the turn before it; "a block" is one more packed block before them.
struct ResumeCosts {
  // For a packed block: read and hashed at every turn of the band, and its streams made again. The
  // stages share this work.
  double replay_s = 0;
  // To write the streams of all turns at a stop, to compare them with their hashes at the next
  // start, and to read them.
  double streams_s = 0;
  int64_t streams_bytes = 0;  // of all of them, of all ranks
  // For a packed block that is not replayed: its weights are compared with their hashes, by all
  // ranks together.
  double compare_s = 0;

  // The fewest packed blocks before the frontier with which keeping the streams is cheaper.
  int64_t blocks_worth_keeping() const;
  bool keeps(int64_t blocks_before) const;
};
// Of a plan with bands of `band` turns.
ResumeCosts resume_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int band);

// Seconds of a run outside of its plan.
struct EndCosts {
  double before_s = 0;  // starting, and hashing the tensors that are in no block
  double after_s = 0;   // one rank writes the packed model and reads it back
};
EndCosts end_costs(const Workload& work, const Machine& machine, int ranks);

}  // namespace bitmill
