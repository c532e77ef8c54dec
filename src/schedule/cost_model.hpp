#pragma once
// From what a model asks for and what a machine gives to what every action of a plan takes.

#include <cstdint>

#include "base/pieces.hpp"
#include "schedule/mesh.hpp"
#include "schedule/simulate.hpp"

namespace bitmill {

// What one block of a model asks for, the same for all blocks, and how it is trained.
struct Workload {
  int blocks = 0, epochs = 0, lag = 0;
  int64_t batch = 0, samples = 0, seq_len = 0, hidden = 0;
  int64_t stream_bytes = 4;      // of an activation between blocks
  double forward_flops = 0;      // one sample, dense
  double unit_flops = 0;         // the gradient of one sample
  int64_t weights = 0;           // of the linears of a block
  int64_t learned = 0;           // parameters of a block
  int64_t statistics = 0;        // floats that are known of a block's inputs when it is made ready
  int64_t source_bytes = 0;      // of a block, as it lies on disk
  int64_t kept_bytes = 0;        // of the model that is in no such block
  int64_t packed_bytes = 0;      // of a block, as one turn leaves it
  int64_t state_bytes = 0;       // of a live block's file in the run folder
  int64_t activation_bytes = 0;  // of one sample while it is trained
  int64_t product_bytes = 0;     // that a processor's thread copies of a product's operands
  // Before the first turn of a block: of one sample for the statistics of its inputs, and of the
  // block for coordinate descent.
  double statistics_flops = 0;
  double descent_flops = 0;
  // When all is trained rank 0 holds this much at once of the result that it writes and reads, and
  // the headers of all of it.
  int64_t assembly_bytes = 0;
  int64_t header_bytes = 0;
  int64_t stream_memory = 0;  // that the streams of a rank may take; 0: no limit

  int64_t steps_per_epoch() const { return piece_count(samples, batch); }
};

// What a rank can do. Sources of the figures: configs/hardware, or measure_machine() of pipeline.
// Rates of computing are those of one thread.
struct Machine {
  double forward_flops_per_s = 1;    // dense products, sustained
  double unit_flops_per_s = 1;       // of a step's gradients, while every thread has its own sample
  double unit_s = 0;                 // what a unit takes beside its products
  double thread_gain = 1;            // of a further thread on the same sample, of its own speed
  double prepare_weights_per_s = 1;  // made ready to train: mask, codes, signs, operands
  double pack_weights_per_s = 1;     // rounded and packed, and made dense again
  double memory_bytes_per_s = 1;     // of the rank's own memory
  double link_bytes_per_s = 1;       // to another rank, for one that sends alone
  double link_latency_s = 0;
  double read_bytes_per_s = 1;   // of the model's files, for one rank, hashed and widened
  double hash_bytes_per_s = 0;   // of files that are hashed and no more; 0: as when they are read
  double write_bytes_per_s = 1;  // to the run folder, for one rank
  double write_latency_s = 0;    // of a file that is committed there
  double start_s = 0;            // from the launch of a rank to its first work
  int64_t memory_bytes = 0;      // that a rank may use; 0: not limited
  int64_t fixed_bytes = 0;       // that it holds before it has work
  int64_t host_fixed_bytes = 0;  // the same of its host; 0: device and host are one memory
  int samples_at_once = 1;       // trained side by side (threads)
  int weight_bytes = 4;          // of a weight while it is computed with
};

// Of one replica. Its first one of a stage is never the busiest, the last one always is.
PlanCosts plan_costs(const Workload& work, const Machine& machine, const Mesh& mesh, int replica);

// What a stage takes: of its last replica, with the block memory of the one that needs most, which
// may be another, with more partial sums on their way.
PlanCosts stage_costs(const Workload& work, const Machine& machine, const Mesh& mesh);

// AdamW of one step, for a slice of the learned values.
double adam_seconds(const Workload& work, const Machine& machine, int replicas);

// What a replica exchanges with the others of its stage in a step, each way: partial sums to the
// owners of the slices, values to everybody.
int64_t exchange_bytes(const Workload& work, int replicas);

// What a rank with work holds of its host at most, where its device has memory of its own: the
// process, a block's weights on their way from disk and what is packed of it on the way back, and,
// on rank 0, what it puts together. Streams beyond their limit go to the scratch folder, through
// pieces that do not count. Explicit and simple: no cuda backend trains yet to measure it on.
int64_t host_peak_bytes(const Workload& work, const Machine& machine, bool assembles);

// What a run takes outside of its plan.
struct EndCosts {
  double before_s = 0;  // starting, and hashing what is in no block
  double after_s = 0;   // the packed model written and read back, by one rank
};
EndCosts end_costs(const Workload& work, const Machine& machine, int ranks);

}  // namespace bitmill
