#pragma once
// Measures what this machine can do with the blocks of a model: the rates of the planner's cost
// model. It runs the real block compute on the first block.

#include <string>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// How many weights per second are made ready to train, computed from the time of restoring a saved
// block. That time includes reading the block's state, which plan_costs() counts separately: it is
// subtracted.
double prepare_rate(const Workload& work, const Machine& machine, double restoring_s);

// Collective. Takes about `budget_s` seconds, more where a step takes long. All ranks compute at
// the same time, each alone and with its own threads, as in a run: so the rates include what ranks
// of a host take from each other. They are means over the ranks. Links are measured between rank 0
// and rank 1; a single rank keeps the link rates of `before`. What cannot be measured (memory,
// fixed_bytes, start_s) also stays as in `before`.
//
// `folder` is created for this rank's trial of a run folder, and removed afterwards. Rates are
// those of one thread, as in configs/hardware. Learning rates do not matter, and the samples are
// made up.
Machine measure_machine(const QuantizeOptions& options, Files& files, const std::string& folder,
                        Communicator& comm, ThreadPool& pool, const Machine& before,
                        double budget_s = 10);

}  // namespace bitmill
