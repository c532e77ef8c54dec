#pragma once
// A whole `tune` job on a tiny packed model, in this process: the fixture of its tests.

#include "eval/evaluate.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

// A whole job, in the same steps as the command.
inline TuneResult check_and_tune(const TuneOptions& options, Files& files, Communicator& comm,
                                 ThreadPool& pool, TuneObserver& observer,
                                 const RunControl& control) {
  return tune(check_tune(options, files, comm.size(), pool.size()), files, comm,
              *device_of(options.backend, options.dtype, pool), observer, control);
}

class Tune : public TinyJob {
 protected:
  Tune() { pack(2); }

  // Makes a packed model of `blocks` blocks under "packed"; one linear is not quantized.
  void pack(int blocks) {
    use_blocks(blocks);
    for (const char* name : {"packed", "packed.work"}) files_->remove_tree(folder_ / name);
    QuantizeOptions o = options("packed");
    o.ignore = "layers.1.self_attn.k_proj";
    run(o);
  }

  TuneOptions tuning(const std::string& name) {
    TuneOptions o;
    o.model = folder_ / "packed";
    o.reference = folder_ / "model";
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.calib = folder_ / "calib.safetensors";
    o.samples = 13;
    o.seq_len = 9;
    o.epochs = 3;
    o.rate = 1e-2;
    o.held_out = {1, 4};  // 3 of 13
    return o;
  }

  TuneResult tune_on(const TuneOptions& o, int ranks = 1, int threads = 1) {
    TuneResult result;
    on_ranks(ranks, threads, [&](Communicator& comm, ThreadPool& pool) {
      TuneObserver silent;
      const TuneResult mine = check_and_tune(o, *files_, comm, pool, silent, control_);
      if (comm.rank() == 0) result = mine;
    });
    return result;
  }

  // On one rank.
  TuneResult tune_heard(const TuneOptions& o, TuneObserver& observer) {
    TuneResult result;
    on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
      result = check_and_tune(o, *files_, comm, pool, observer, control_);
    });
    return result;
  }

  // A start on one rank that is asked to stop when it could have left `leave_at` times before.
  void stop_tuning(const TuneOptions& o, int leave_at) {
    control_.wishes.asked = [leave_at, left = 0]() mutable {
      return left++ == leave_at ? "SIGTERM" : "";
    };
    EXPECT_THROW(tune_on(o), AgreedStop);
    control_.wishes.asked = [] { return ""; };
  }

  std::string tuning_message(const TuneOptions& o, int ranks = 1) {
    try {
      tune_on(o, ranks);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  // The divergence from the model `from`, on text like the calibration's.
  double divergence(const std::string& name, const std::string& from = "model") {
    Windows windows{4, 9, {}};
    for (int i = 0; i < 36; ++i) windows.ids.push_back((i * 7 + i / 5) % 31);
    const SourceModel model(*files_, folder_ / name), original(*files_, folder_ / from);
    const auto comm = self_communicator();
    ThreadPool pool(1);
    StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
    return evaluate(model, &original, windows, budget, *comm, *cpu_device(pool), {}).divergence->kl;
  }
};

}  // namespace bitmill
