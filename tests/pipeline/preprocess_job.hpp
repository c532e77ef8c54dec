#pragma once
// A whole `preprocess` job on a tiny packed model, in this process: the fixture of its tests.

#include <fmt/format.h>

#include <string>

#include "pipeline/checks/preprocess_check.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/preprocess.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {

// A whole job, in the same steps as the command.
inline PreprocessResult check_and_preprocess(const PreprocessOptions& options, Files& files,
                                             Communicator& comm, ThreadPool& pool,
                                             PreprocessObserver& observer,
                                             const RunControl& control) {
  return preprocess(check_preprocess(options, files, comm.size(), pool.size()), files, comm,
                    *device_of(options.backend, options.dtype, pool), observer, control);
}

class Preprocess : public TinyJob {
 protected:
  Preprocess() { pack(2); }

  // Makes a packed model of `blocks` blocks under "packed"; one linear is not quantized. The corpus
  // is a token file of rows that are predictable.
  void pack(int blocks) {
    use_blocks(blocks);
    for (const char* name : {"packed", "packed.work"}) files_->remove_tree(folder_ / name);
    QuantizeOptions o = options("packed");
    o.ignore = "layers.1.self_attn.k_proj";
    run(o);
    Tokens corpus;
    corpus.ids.clear();
    for (int i = 0; i < 4000; ++i) corpus.ids.push_back((i * 7 + i / 50) % 31);
    write_token_file(*files_, folder_ / "corpus.safetensors", corpus);
  }

  PreprocessOptions adapting(const std::string& name) {
    PreprocessOptions o;
    o.model = folder_ / "model";
    o.packed = folder_ / "packed";
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.corpus_dir = folder_ / (name + ".corpus");
    o.corpus = {folder_ / "corpus.safetensors"};
    o.pack = true;
    o.seq_len = 9;
    o.steps = 23;  // measured after 2, 4, ..., 22, 23
    o.batch = 3;
    o.lora.rank = 2;
    o.lora.alpha = 4;
    o.lora.rate = 2e-2;
    o.held_out = {1, 20};
    return o;
  }

  PreprocessResult adapt(const PreprocessOptions& o, int ranks = 1, int threads = 1) {
    PreprocessObserver silent;
    return adapt_heard(o, silent, ranks, threads);
  }

  // `observer` hears rank 0.
  PreprocessResult adapt_heard(const PreprocessOptions& o, PreprocessObserver& observer,
                               int ranks = 1, int threads = 1) {
    PreprocessResult result;
    on_ranks(ranks, threads, [&](Communicator& comm, ThreadPool& pool) {
      PreprocessObserver silent;
      const PreprocessResult mine = check_and_preprocess(
          o, *files_, comm, pool, comm.rank() == 0 ? observer : silent, control_);
      if (comm.rank() == 0) result = mine;
    });
    return result;
  }

  std::string adapting_message(const PreprocessOptions& o, int ranks = 1) {
    try {
      adapt(o, ranks);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

}  // namespace bitmill
