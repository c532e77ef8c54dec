#pragma once
// What this machine can do with the blocks of a model, measured: the figures that the planner's
// cost model rests on, from the real block compute on the first block.

#include <string>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// Weights a second that are made ready to train, where a block that was saved was restored in so
// many seconds: reading its state is a part of them that plan_costs() counts apart.
double prepare_rate(const Workload& work, const Machine& machine, double restoring_s);

// Collective. About `budget_s` seconds, more where a step takes long. All ranks compute at the same
// time, each alone and with its own threads, as they do in a run: what they take from each other is
// in the figures, which are means over the ranks. Links are measured between rank 0 and rank 1; a
// single rank keeps those of `before`, and so does everything that cannot be measured: memory,
// fixed_bytes, start_s.
//
// `folder` is made for the rank's trial of a run folder, and removed. Rates are those of one
// thread, as in configs/hardware; learning rates do not matter, and samples are made up.
Machine measure_machine(const QuantizeOptions& options, Files& files, const std::string& folder,
                        Communicator& comm, ThreadPool& pool, const Machine& before,
                        double budget_s = 10);

}  // namespace bitmill
