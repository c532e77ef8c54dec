#pragma once
// A whole `quantize` job on a tiny model, in this process: the fixture of its tests.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"
#include "data/token_text.hpp"
#include "model/tensor_floats.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "temp_folder.hpp"

namespace bitmill {

// Where a job computes.
inline std::unique_ptr<Device> device_of(const std::string& backend, Dtype dtype,
                                         ThreadPool& pool) {
  const at::ScalarType type = scalar_type(dtype);
  return backend == "cuda" ? cuda_device({0, type}, pool) : cpu_device(pool, type);
}
inline std::unique_ptr<Device> device_of(const QuantizeOptions& options, ThreadPool& pool) {
  return device_of(options.backend, options.dtype, pool);
}

// A whole job, in the same steps as the command.
inline QuantizeResult check_and_quantize(const QuantizeOptions& options, Files& files,
                                         Communicator& comm, ThreadPool& pool,
                                         QuantizeObserver& observer, const RunControl& control) {
  return quantize(check_quantize(options, files, comm.size(), pool.size()), files, comm,
                  *device_of(options, pool), observer, control);
}

class TinyJob : public testing::Test {
 protected:
  TinyJob() {
    test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_));
    write_tokens(31);
    folder_.write("model/tokenizer_config.json", "{}");
  }

  void use_blocks(int blocks) {
    config_["num_hidden_layers"] = blocks;
    test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_));
  }

  void write_tokens(int32_t vocab) {
    Tokens tokens;
    for (int i = 0; i < 400; ++i) tokens.ids.push_back((i * 7 + i / 5) % vocab);
    write_token_file(*files_, folder_ / "calib.safetensors", tokens);
  }

  QuantizeOptions options(const std::string& name) {
    QuantizeOptions o;
    o.model = folder_ / "model";
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.calib = folder_ / "calib.safetensors";
    o.samples = 11;
    o.seq_len = 9;
    o.epochs = 2;
    o.method.lr_scale = o.method.lr_gain = 1e-2;
    return o;
  }

  QuantizeResult run(const QuantizeOptions& o, int ranks = 1, int threads = 1) {
    return run_where(
        o, ranks, [&](int) -> Files& { return *files_; }, threads);
  }

  // `files_of`: rank -> its file system.
  QuantizeResult run_where(const QuantizeOptions& o, int ranks,
                           const std::function<Files&(int)>& files_of, int threads = 1) {
    QuantizeResult result;
    on_ranks(ranks, threads, [&](Communicator& comm, ThreadPool& pool) {
      QuantizeObserver silent;
      const QuantizeResult mine =
          check_and_quantize(o, files_of(comm.rank()), comm, pool, silent, control_);
      if (comm.rank() == 0) result = mine;
    });
    return result;
  }

  static void on_ranks(int ranks, int threads,
                       const std::function<void(Communicator&, ThreadPool&)>& work) {
    run_ranks(ranks, [&](Communicator& comm) {
      at::set_num_threads(1);  // MKL's setting is per thread; this is the main thread of a rank
      ThreadPool pool(threads, [] { at::set_num_threads(1); });
      work(comm, pool);
    });
  }

  void run_on(Files& files, const QuantizeOptions& o) {
    run_where(o, 1, [&](int) -> Files& { return files; });
  }

  // A run that stops early: the ranks ask `leave_at` times whether anybody wants to stop, and get
  // "no"; the next answer is yes. Each rank counts for itself.
  void stop_early(const QuantizeOptions& o, int leave_at = 6, int ranks = 1) {
    control_.wishes.asked = [leave_at, left = 0]() mutable {
      return left++ == leave_at ? "SIGTERM" : "";
    };
    EXPECT_THROW(run(o, ranks), AgreedStop);
    control_.wishes.asked = [] { return ""; };
  }

  std::string bytes(const std::string& name) { return folder_.read(name + "/model.safetensors"); }

  // (block, epoch) of every epoch in blocks.jsonl, in the order of the lines.
  std::vector<std::pair<int, int>> logged_epochs(const std::string& work_dir) {
    std::vector<std::pair<int, int>> epochs;
    for (const nlohmann::json& event : events(work_dir)) {
      if (event.contains("epoch")) epochs.emplace_back(event["block"], event["epoch"]);
    }
    return epochs;
  }
  std::set<int> logged_blocks(const std::string& work_dir) {
    std::set<int> blocks;
    for (const nlohmann::json& event : events(work_dir)) {
      if (event.contains("epoch")) continue;
      EXPECT_TRUE(blocks.insert(event["block"].get<int>()).second) << "has two lines";
    }
    return blocks;
  }
  static std::vector<std::pair<int, int>> all_epochs(int blocks, int epochs) {
    std::vector<std::pair<int, int>> all;
    for (int block = 0; block < blocks; ++block) {
      for (int epoch = 0; epoch < epochs; ++epoch) all.emplace_back(block, epoch);
    }
    return all;
  }

  std::string message(const QuantizeOptions& o) {
    try {
      run(o);
    } catch (const Error& error) {
      EXPECT_FALSE(files_->exists(o.output_dir)) << "something was left behind";
      EXPECT_FALSE(files_->exists(o.output_dir + ".partial")) << "something was left behind";
      return error.what();
    }
    return "no error";
  }

  // The lines of blocks.jsonl that are JSON. A line that was cut short is none.
  std::vector<nlohmann::json> events(const std::string& work_dir) {
    std::vector<nlohmann::json> all;
    std::istringstream lines(read_text(*files_, work_dir + "/blocks.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
      if (event.is_object()) all.push_back(event);
    }
    return all;
  }

  TempFolder folder_;
  std::unique_ptr<Files> files_ = posix_files();
  nlohmann::json config_ = test::tiny_config();
  RunControl control_;
};

}  // namespace bitmill
