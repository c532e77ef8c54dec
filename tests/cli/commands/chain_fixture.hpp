#pragma once
// A chain of four parts on a model of two blocks, in this process, ranks as threads: the fixture of
// its tests.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cli/commands/invocation.hpp"
#include "comm/thread_communicator.hpp"
#include "data/token_text.hpp"
#include "forwarding_files.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/job/run_control.hpp"
#include "temp_folder.hpp"

namespace bitmill {

// Raises a signal when something whose path has all of `parts` has its final name, for the `nth`
// time.
class SignallingFiles : public ForwardingFiles {
 public:
  void signal_at(std::vector<std::string> parts, int nth) {
    parts_ = std::move(parts);
    left_ = nth;
  }
  void rename(const std::string& from, const std::string& to) override {
    ForwardingFiles::rename(from, to);
    for (const std::string& part : parts_) {
      if (to.find(part) == std::string::npos) return;
    }
    if (!parts_.empty() && --left_ == 0) ::raise(SIGTERM);
  }

 private:
  std::vector<std::string> parts_;
  std::atomic<int> left_ = 0;
};

// What a console prints, for people and for scripts.
class HeardConsole {
 public:
  HeardConsole()
      : people_(::open_memstream(&said_, &said_bytes_)),
        scripts_(::open_memstream(&printed_, &printed_bytes_)),
        console_(people_, scripts_, false) {}
  ~HeardConsole() {
    ::fclose(people_);
    ::fclose(scripts_);
    ::free(said_);
    ::free(printed_);
  }
  HeardConsole(const HeardConsole&) = delete;
  HeardConsole& operator=(const HeardConsole&) = delete;

  Console& console() { return console_; }
  std::string said() const {
    ::fflush(people_);
    return {said_, said_bytes_};
  }
  std::string printed() const {
    ::fflush(scripts_);
    return {printed_, printed_bytes_};
  }

 private:
  char *said_ = nullptr, *printed_ = nullptr;
  size_t said_bytes_ = 0, printed_bytes_ = 0;
  FILE *people_, *scripts_;
  Console console_;
};

// No thread beats, and nobody watches for long.
inline RunControl quiet_control() {
  RunControl control;
  control.heartbeat = false;
  control.claim_timing = {std::chrono::milliseconds(100), std::chrono::milliseconds(10)};
  return control;
}

struct Ended {
  std::string error;  // empty: it came to its end
  bool stopped = false;
  std::string said, printed;
};

class Chain : public ::testing::Test {
 protected:
  Chain() {
    nlohmann::json config = test::tiny_config();
    test::write_model(files_, folder_ / "model", config, test::tiny_tensors(config));
    folder_.write("model/tokenizer_config.json", "{}");
    write_tokens("calib", 400, 5);
    write_tokens("corpus", 3000, 50);
    write_tokens("eval", 100, 7);
  }

  void write_tokens(const std::string& name, int count, int period) {
    Tokens tokens;
    for (int i = 0; i < count; ++i) tokens.ids.push_back((i * 7 + i / period) % 31);
    write_token_file(files_, folder_ / (name + ".safetensors"), tokens);
  }

  std::string file(const std::string& name) const { return folder_ / (name + ".safetensors"); }
  std::string run_section(const std::string& output) const {
    return "[run]\nmodel = " + folder_ / "model" + "\ncalib = " + file("calib") +
           "\nsamples = 8\nseq-len = 16\noutput-dir = " + folder_ / output + "\n";
  }
  std::string preprocess_section() const {
    return "[preprocess]\ncorpus = " + file("corpus") +
           "\nbase-recipe = parallel\npack = true\nsteps = 6\nrank = 2\nlr = 1e-2\n";
  }
  static std::string quantize_section() {
    return "[quantize]\nrecipe = parallel\nepochs = 4\nbatch = 2\n";
  }
  static std::string tune_section() {
    return "[tune]\nlearn-signs = true\nepochs = 3\nbatch = 2\nheld-out = 0.25\n";
  }
  std::string eval_section() const {
    return "[eval]\ncorpus = " + file("eval") + "\nseq-len = 16\nreference = original\n";
  }
  // All four parts.
  std::string config(const std::string& output) const {
    return folder_.write(output + ".cfg", run_section(output) + preprocess_section() +
                                              quantize_section() + tune_section() + eval_section());
  }
  std::string words(const std::string& output) const {
    return "run --json --config " + config(output);
  }

  // A command on so many ranks, which listen to signals.
  Ended run(const std::string& line, int ranks = 1) {
    std::istringstream stream(line);
    const std::vector<std::string> all(std::istream_iterator<std::string>(stream), {});
    HeardConsole heard;
    Ended ended;
    StopSignals stop;
    stop.listen("", "");
    try {
      const Invocation invocation = read_invocation(files_, all);
      run_ranks(ranks, [&](Communicator& comm) {
        at::set_num_threads(1);  // MKL's setting is per thread; this is the main thread of a rank
        ThreadPool pool(1, [] { at::set_num_threads(1); });
        Console silent(nullptr, nullptr, false);
        Console& console = comm.rank() == 0 ? heard.console() : silent;
        Watch watch(comm, "host", 0, pool);
        const auto command = invocation.entry->make(files_, invocation.settings);
        command->check({files_, ranks, 1, {1, int64_t{1} << 40}});
        RunContext context{files_, watch.comm(), pool, console, stop, watch.activity(), watch};
        command->run(context);
      });
    } catch (const StopError& error) {
      ended.error = error.what();
      ended.stopped = true;
    } catch (const std::exception& error) {
      ended.error = error.what();
    }
    ended.said = heard.said();
    ended.printed = heard.printed();
    return ended;
  }

  nlohmann::json status(const std::string& work_dir) {
    return nlohmann::json::parse(run("status --json --work-dir " + work_dir).printed);
  }
  Ended verdict(const std::string& work_dir) {
    return run("status --exit-status --work-dir " + work_dir);
  }

  // Everything that is the same however often a chain was stopped.
  void expect_same(const std::string& a, const std::string& b) const {
    for (const char* name : {"/model.safetensors", "/config.json", "/README.md"}) {
      EXPECT_EQ(folder_.read(a + name), folder_.read(b + name)) << b << name;
    }
    for (const char* name : {"1-preprocess.work-base", "1-preprocess", "2-quantize"}) {
      const std::string weights = std::string(".work/") + name + "/model.safetensors";
      EXPECT_EQ(folder_.read(a + weights), folder_.read(b + weights)) << b << name;
    }
  }

  const TempFolder folder_;
  SignallingFiles files_;
};

}  // namespace bitmill
