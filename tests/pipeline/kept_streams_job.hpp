#pragma once
// A tiny job that is stopped while its streams are wanted, and started again on any mesh: the
// fixture of the tests of kept streams.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "pipeline/folder/run_status.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {

// Hears what a start says of streams and replays, and counts the actions that begin.
struct Sayings final : QuantizeObserver {
  explicit Sayings(std::atomic<int>* counted) : counter(counted) {}
  void action_begins(const Action& /*action*/) override {
    if (counter != nullptr) ++*counter;
  }
  void phase_begins(const std::string& phase) override {
    for (const char* word : {"the streams of", "the streams are not kept", "cannot be used",
                             "kept streams: it goes on", "replaying", "does not use stay"}) {
      if (phase.find(word) != phase.npos) return said.push_back(phase);
    }
  }
  std::atomic<int>* const counter;
  std::vector<std::string> said;
};

struct MeshShape {
  int stages, replicas;
  Walk walk;

  int ranks() const { return stages * replicas; }
  std::string name() const { return fmt::format("{} x {}, {}", stages, replicas, word_of(walk)); }
};

inline const std::vector<MeshShape> mesh_shapes = {{1, 1, Walk::sweep},     {2, 1, Walk::sweep},
                                                   {2, 2, Walk::wavefront}, {4, 1, Walk::sweep},
                                                   {1, 2, Walk::wavefront}, {2, 2, Walk::sweep}};

class KeptStreamsJob : public TinyJob {
 protected:
  KeptStreamsJob() {
    use_blocks(5);
    control_.heartbeat = false;
    control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  }

  QuantizeOptions keeping(const std::string& name, int lag = 2, Dtype dtype = Dtype::float32) {
    QuantizeOptions o = options(name);
    o.batch = 3;
    o.lag = lag;
    o.epochs = lag == 1 ? 4 : 2;
    o.stream_dtype = dtype;
    o.resume_costs = {1, 0, 1};  // a replay takes a second, and the streams nothing
    return o;
  }
  static QuantizeOptions on(QuantizeOptions o, const MeshShape& shape) {
    o.stages = shape.stages;
    o.replicas = shape.replicas;
    o.walk = shape.walk;
    return o;
  }
  // What rank 0 says. `leave_at`: all ranks wish to stop when so many actions have begun on the
  // stages together.
  std::vector<std::string> heard(const QuantizeOptions& o, int leave_at = -1) {
    return heard_where(o, leave_at, [&](int) -> Files& { return *files_; });
  }
  std::vector<std::string> heard_where(const QuantizeOptions& o, int leave_at,
                                       const std::function<Files&(int)>& files_of) {
    std::vector<std::string> said;
    std::atomic<int> actions = 0;
    on_ranks(std::max(1, o.stages) * std::max(1, o.replicas), 1,
             [&](Communicator& comm, ThreadPool& pool) {
               const bool counts = comm.rank() % std::max(1, o.replicas) == 0;
               Sayings sayings(counts ? &actions : nullptr);
               RunControl control = control_;
               control.wishes.asked = [&actions, leave_at] {
                 return leave_at >= 0 && actions >= leave_at ? "SIGTERM" : "";
               };
               try {
                 check_and_quantize(o, files_of(comm.rank()), comm, pool, sayings, control);
               } catch (const AgreedStop&) {
                 EXPECT_NE(leave_at, -1);
               }
               if (comm.rank() == 0) said = sayings.said;
             });
    return said;
  }

  // The number in "replaying 3 visits of packed blocks".
  static int replays(const std::vector<std::string>& said) {
    constexpr std::string_view word = "replaying ";
    for (const std::string& one : said) {
      if (one.starts_with(word)) return std::stoi(one.substr(word.size()));
    }
    return 0;
  }
  // Replaces the values of one tensor of the model.
  void change(const std::string& name) {
    std::vector<TensorSource> tensors = test::tiny_tensors(config_);
    const auto changed = std::ranges::find(tensors, name, &TensorSource::name);
    ASSERT_NE(changed, tensors.end());
    *changed = test::random_tensor(name, changed->shape, 99);
    test::write_model(*files_, folder_ / "model", config_, tensors);
  }

  RunStatus status_of(const QuantizeOptions& o) {
    return read_status(*files_, o.work_dir, control_.claim_timing);
  }
  void remove_all(const QuantizeOptions& o) {
    for (const std::string& folder : {o.output_dir, o.work_dir}) {
      if (files_->exists(folder)) files_->remove_tree(folder);
    }
  }
  // In the run folder, whichever generation it is of.
  std::vector<std::string> stream_files(const QuantizeOptions& o) {
    std::vector<std::string> paths;
    for (const std::string& name : files_->list(o.work_dir)) {
      if (!name.starts_with("state-")) continue;
      const std::string folder = o.work_dir + "/" + name + "/streams";
      for (const std::string& file : files_->list(folder)) paths.push_back(folder + "/" + file);
    }
    return paths;
  }
};

}  // namespace bitmill
