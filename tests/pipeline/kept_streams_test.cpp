// Streams that a stop keeps in the run folder, and starts that read them, on any mesh.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/error.hpp"
#include "forwarding_files.hpp"
#include "pipeline/folder/run_status.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

// Counts what happens to kept streams, and does something else at one of these operations.
class StreamsDisk final : public ForwardingFiles {
 public:
  StreamsDisk(int at, std::function<void()> instead) : left_(at), instead_(std::move(instead)) {}

  bool happened() const { return left_ < 0; }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    count(path);
    return ForwardingFiles::create(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    count(to);
    ForwardingFiles::rename(from, to);
  }
  void remove(const std::string& path) override {
    count(path);
    ForwardingFiles::remove(path);
  }
  void sync_directory(const std::string& path) override {
    count(path);
    ForwardingFiles::sync_directory(path);
  }

 private:
  void count(const std::string& path) {
    if (path.find("/streams") != path.npos && left_-- == 0) instead_();
  }

  std::atomic<int> left_;
  const std::function<void()> instead_;
};

struct MeshShape {
  int stages, replicas;
  Walk walk;

  int ranks() const { return stages * replicas; }
  std::string name() const { return fmt::format("{} x {}, {}", stages, replicas, word_of(walk)); }
};

const std::vector<MeshShape> mesh_shapes = {{1, 1, Walk::sweep},     {2, 1, Walk::sweep},
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

// A run that was stopped and goes on on the same mesh replays nothing but what the stop found
// packed and not handed on: at most a block of every turn.
TEST_F(KeptStreamsJob, SpareEveryMeshTheReplays) {
  for (const int lag : {2, 1}) {
    QuantizeOptions whole = keeping(fmt::format("whole{}", lag), lag);
    run(whole);
    for (const MeshShape& shape : mesh_shapes) {
      int kept = 0;
      const std::vector<int> points = lag == 1 ? std::vector{52, 110} : std::vector{14, 24};
      for (const int leave_at : points) {
        const QuantizeOptions o = on(keeping("out", lag), shape);
        const std::string where =
            fmt::format("lag {} on {}, left at {}", lag, shape.name(), leave_at);
        const auto stopped = heard(o, leave_at);
        EXPECT_EQ(status_of(o).kept_stream_bytes > 0, !stopped.empty()) << where;
        const auto resumed = heard(o);
        EXPECT_EQ(status_of(o).kept_stream_bytes, 0) << where;
        EXPECT_TRUE(bytes("out") == bytes(file_name(whole.output_dir))) << where;
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("cannot be used")))) << where;
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("kept streams: it goes on")))) << where;
        if (!stopped.empty()) {
          ++kept;
          EXPECT_THAT(stopped, ElementsAre(HasSubstr("keeping the streams of block"))) << where;
          ASSERT_FALSE(resumed.empty()) << where;
          EXPECT_THAT(resumed.front(), HasSubstr("were kept and are read")) << where;
          EXPECT_LE(replays(resumed), o.epochs / o.lag) << where;
        }
        remove_all(o);
      }
      EXPECT_EQ(kept, 2) << "lag " << lag << " on " << shape.name();
    }
  }
}

TEST_F(KeptStreamsJob, GiveTheSameBytesOnAnyOtherMesh) {
  for (const int lag : {2, 1}) {
    const Dtype dtype = lag == 1 ? Dtype::bfloat16 : Dtype::float32;
    QuantizeOptions whole = keeping(fmt::format("whole{}", lag), lag, dtype);
    run(whole);
    int pairs = 0, used = 0;
    for (const MeshShape& from : mesh_shapes) {
      for (const MeshShape& to : mesh_shapes) {
        if (++pairs % (lag == 1 ? 2 : 3) != 0) continue;
        const int left_at = (lag == 1 ? 45 : 12) + pairs;
        const QuantizeOptions o = keeping("out", lag, dtype);
        const std::string where = fmt::format("lag {}, left at {} on {}, then on {}", lag, left_at,
                                              from.name(), to.name());
        heard(on(o, from), left_at);
        const auto resumed = heard(on(o, to));
        used += testing::Value(resumed, Contains(HasSubstr("were kept and are read")));
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("cannot be used")))) << where;
        EXPECT_TRUE(bytes("out") == bytes(file_name(whole.output_dir))) << where;
        remove_all(o);
      }
    }
    EXPECT_GT(used, 5) << "lag " << lag;
  }
}

// Turn 0 alone has come to block 2. The other turns of a wider band begin with block 0, and need
// the teacher from there on.
TEST_F(KeptStreamsJob, WhereABandNeedsTheTeacherFromItsBeginningItIsReplayed) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = keeping("out", 1);
  EXPECT_EQ(heard(o, 18).size(), 1U);
  EXPECT_THAT(heard(on(o, {2, 1, Walk::sweep})),
              ElementsAre(HasSubstr("uses 0 of 2 kept streams"), HasSubstr("replaying")));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(KeptStreamsJob, DamagedOnesAreNamedAndNotUsed) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const MeshShape shape = {2, 2, Walk::sweep};
  const QuantizeOptions o = on(keeping("out", 1), shape);
  const auto damaged_file = [&](size_t number) {
    EXPECT_EQ(heard(o, 60).size(), 1U);
    const auto files = stream_files(o);
    if (number >= files.size()) return std::string();
    std::string content = read_text(*files_, files[number]);
    content[content.size() - 3] = static_cast<char>(content[content.size() - 3] ^ 1);
    const auto damaged = files_->create(files[number]);
    damaged->write(0, std::as_bytes(std::span(content)));
    damaged->close();
    return files[number];
  };
  size_t number = 0;
  for (;; ++number) {
    const std::string file = damaged_file(number);
    if (file.empty()) break;
    EXPECT_THAT(heard(o), Contains(HasSubstr("cannot be used"))) << file;
    EXPECT_TRUE(bytes("out") == bytes("whole")) << file;
    remove_all(o);
  }
  EXPECT_GT(number, 5U);
}

TEST_F(KeptStreamsJob, WhatCostsMoreThanReplayingIsNotKept) {
  QuantizeOptions o = on(keeping("out"), {2, 1, Walk::sweep});
  o.resume_costs = {1, 6, 1};
  EXPECT_THAT(heard(o, 24), IsEmpty());
  EXPECT_THAT(heard(o), ElementsAre(HasSubstr("replaying")));
}

// At every operation on kept streams, on the first rank and on the last one.
TEST_F(KeptStreamsJob, AKillWhileTheyAreKeptLeavesNothingThatIsBelieved) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = on(keeping("out", 1), {2, 2, Walk::sweep});
  for (const int victim : {0, 3}) {
    int operation = 0;
    for (bool killed = true; killed; ++operation) {
      // What an earlier stop has kept is replaced.
      heard(o, 45);
      StreamsDisk disk(operation, [] { throw CommError("this process was killed"); });
      try {
        heard_where(o, 20, [&](int rank) -> Files& { return rank == victim ? disk : *files_; });
      } catch (const CommError&) {
      }
      killed = disk.happened();
      heard(on(o, mesh_shapes[static_cast<size_t>(operation) % mesh_shapes.size()]));
      EXPECT_TRUE(bytes("out") == bytes("whole"))
          << "rank " << victim << ", operation " << operation;
      remove_all(o);
    }
    EXPECT_GE(operation, 4) << "rank " << victim;
  }
}

// The stop itself must not fail: everything that was trained is committed.
TEST_F(KeptStreamsJob, ADiskWithoutRoomForThemKeepsTheRun) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = on(keeping("out", 1), {2, 2, Walk::sweep});
  for (const int victim : {0, 3}) {
    struct FullDisk final : ForwardingFiles {
      std::unique_ptr<OutputFile> create(const std::string& path) override {
        if (path.find("/streams/") != path.npos) throw FileError("no space left for " + path);
        return ForwardingFiles::create(path);
      }
    } full;
    const auto said =
        heard_where(o, 60, [&](int rank) -> Files& { return rank == victim ? full : *files_; });
    EXPECT_THAT(said, ElementsAre(HasSubstr("keeping the streams"),
                                  HasSubstr("the streams are not kept: no space left")));
    heard(o);
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// A start is refused that does not find all the room it needs: the streams must leave it.
TEST_F(KeptStreamsJob, TheyLeaveTheRoomThatTheNextStartNeeds) {
  struct AlmostFull final : ForwardingFiles {
    int64_t left = 0;
    int64_t free_bytes(const std::string& path) override {
      return path.ends_with("/streams") ? left : ForwardingFiles::free_bytes(path);
    }
  } disk;
  QuantizeOptions whole = keeping("whole");
  run(whole);
  const QuantizeOptions o = keeping("out");
  const CheckedQuantize checked = check_quantize(o, *files_, 1, 1);
  const int64_t needed = room_of_a_start(job_folders(checked.options, checked.forecast), *files_);
  EXPECT_GT(needed, 0);
  for (const int64_t more : {int64_t{0}, int64_t{1} << 24}) {
    disk.left = needed + more;
    const auto said = heard_where(o, 24, [&](int) -> Files& { return disk; });
    EXPECT_THAT(said, ElementsAre(HasSubstr(more > 0 ? "keeping the streams of"
                                                     : "the streams are not kept: they take")));
    EXPECT_EQ(stream_files(o).empty(), more == 0);
    heard(o);
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// Block 0 is not loaded any more, but the result has its norms and was made from its weights.
TEST_F(KeptStreamsJob, ChangedWeightsOfABlockThatIsNotLoadedAreRefused) {
  QuantizeOptions whole = keeping("whole");
  run(whole);
  for (const MeshShape& shape : {MeshShape{1, 1, Walk::sweep}, MeshShape{2, 2, Walk::sweep}}) {
    const QuantizeOptions o = on(keeping("out"), shape);
    EXPECT_THAT(heard(o, 24), Contains(HasSubstr("keeping the streams of block"))) << shape.name();
    for (const std::string name :
         {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.input_layernorm.weight"}) {
      change(name);
      try {
        heard(o);
        ADD_FAILURE() << name << " on " << shape.name();
      } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), HasSubstr("begun with other weights: tensor \"" + name));
      }
      use_blocks(5);
    }
    EXPECT_THAT(heard(o), Contains(HasSubstr("were kept and are read"))) << shape.name();
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// Where those that are not used cannot be removed, the others are used as ever.
TEST_F(KeptStreamsJob, OnesThatCannotBeRemovedAreNamed) {
  struct Stuck final : ForwardingFiles {
    void remove(const std::string& path) override {
      if (path.find("/streams/") != path.npos) throw FileError("cannot remove " + path);
      ForwardingFiles::remove(path);
    }
  } stuck;
  const QuantizeOptions o = keeping("out", 1);
  heard(o, 18);
  const auto said =
      heard_where(on(o, {2, 1, Walk::sweep}), 4, [&](int) -> Files& { return stuck; });
  EXPECT_THAT(said, Contains(HasSubstr("does not use stay in the run folder: cannot remove")));
  EXPECT_THAT(said, Not(Contains(HasSubstr("cannot be used"))));
}

// One is read at turn 1, long after the start: until then it stays, also after another stop.
TEST_F(KeptStreamsJob, OfALaterTurnTheyWaitUntilTheyAreRead) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = keeping("out", 1);
  heard(on(o, {2, 1, Walk::sweep}), 50);
  const auto said = heard(o, 6);
  EXPECT_THAT(said, Contains(HasSubstr("at turn 1")));
  const auto again = heard(o);
  EXPECT_THAT(again, Contains(HasSubstr("at turn 1")));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

}  // namespace
}  // namespace bitmill
