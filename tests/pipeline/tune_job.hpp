#pragma once
// A tiny packed model and its tuning, in process.

#include "eval/evaluate.hpp"
#include "model/source_model.hpp"
#include "pipeline/tiny_job.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

class Tune : public TinyJob {
 protected:
  Tune() { pack(2); }

  // A packed model of so many blocks under "packed"; one linear stays as it is.
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
      const TuneResult mine = tune(o, *files_, comm, pool, silent, control_);
      if (comm.rank() == 0) result = mine;
    });
    return result;
  }

  std::string tuning_message(const TuneOptions& o, int ranks = 1) {
    try {
      tune_on(o, ranks);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  double kl_from_original(const std::string& name, const Windows& windows) {
    const SourceModel model(*files_, folder_ / name), original(*files_, folder_ / "model");
    const auto comm = self_communicator();
    ThreadPool pool(1);
    StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
    return evaluate(model, &original, windows, budget, *comm, pool, {}).divergence->kl;
  }
};

}  // namespace bitmill
