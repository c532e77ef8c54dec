// The whole job on a tiny model: the same bytes on any ranks, threads, stages, replicas and walks.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "checkpoint/run_state.hpp"
#include "forwarding_files.hpp"

#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"
#include "schedule/plan.hpp"

namespace bitmill {
namespace {

using QuantizeOnMeshes = TinyJob;

TEST_F(QuantizeOnMeshes, BytesAreTheSameForAnyRanksAndThreads) {
  for (const int64_t batch : {1, 3, 8}) {
    QuantizeOptions one = options("one" + std::to_string(batch));
    one.batch = batch;
    run(one);
    for (const int ranks : {1, 2, 3, 4, 5}) {
      QuantizeOptions many = options(std::to_string(batch) + "x" + std::to_string(ranks));
      many.batch = batch;
      run(many, ranks, 1 + ranks % 3);
      EXPECT_TRUE(bytes(file_name(many.output_dir)) == bytes(file_name(one.output_dir)))
          << "batch " << batch << ", ranks " << ranks;
    }
  }
}

TEST_F(QuantizeOnMeshes, MeanSaliencyIsTheSameForAnyRanks) {
  QuantizeOptions one = options("one"), three = options("three");
  one.batch = three.batch = 4;
  one.method.saliency = three.method.saliency = Saliency::mean;
  run(one);
  run(three, 3, 2);
  EXPECT_TRUE(bytes("one") == bytes("three"));
}

TEST_F(QuantizeOnMeshes, TurnsGiveTheSameBytesForAnyRanksAndOtherBytesThanNoTurns) {
  QuantizeOptions one = options("one"), two = options("two"), whole = options("whole");
  for (QuantizeOptions* o : {&one, &two, &whole}) {
    o->epochs = 4;
    o->batch = 3;
  }
  one.lag = two.lag = 1;
  run(one);
  run(two, 2, 2);
  run(whole);
  EXPECT_TRUE(bytes("one") == bytes("two"));
  EXPECT_FALSE(bytes("one") == bytes("whole"));
}

// The host of one rank: which files were opened to append a line.
class AppendedFiles final : public ForwardingFiles {
 public:
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    names.insert(file_name(path));
    return ForwardingFiles::open_append(path);
  }
  std::set<std::string> names;

 private:
  std::mutex mutex_;
};

// Appends of two hosts to one file may overwrite each other.
TEST_F(QuantizeOnMeshes, EveryFileOfLinesHasOneWriterAndOneFileHasAllLines) {
  use_blocks(4);
  for (const bool stops : {false, true}) {
    QuantizeOptions o = options(stops ? "stopped" : "whole");
    o.batch = 2;
    o.lag = 1;
    o.stages = 2;
    std::array<AppendedFiles, 4> hosts;
    const auto start = [&] {
      run_where(o, 4, [&](int rank) -> Files& { return hosts[static_cast<size_t>(rank)]; });
    };
    if (stops) {
      control_.wishes.asked = [&] {
        return files_->exists(o.work_dir + "/blocks.jsonl") ? "SIGTERM" : "";
      };
      EXPECT_THROW(start(), AgreedStop);
      control_.wishes.asked = [] { return ""; };
      // All that is committed is in the one file, though other ranks may have said it last.
      const auto state = find_state(*files_, o.work_dir);
      const auto lines = logged_epochs(o.work_dir);
      size_t committed = 0;
      for (int block = 0; block < 4; ++block) {
        const RunState saved(*files_, state->path);
        for (int turn = 0; turn < 2; ++turn) committed += saved.has_packed(block, turn) ? 1 : 0;
      }
      EXPECT_GE(lines.size(), committed);
      EXPECT_GT(lines.size(), 0U);
    }
    start();
    EXPECT_THAT(hosts[0].names, testing::ElementsAre("blocks.jsonl"));
    EXPECT_THAT(hosts[1].names, testing::IsEmpty());
    EXPECT_THAT(hosts[2].names, testing::ElementsAre("0001.jsonl"));
    EXPECT_THAT(hosts[3].names, testing::IsEmpty());
    EXPECT_THAT(logged_epochs(o.work_dir), testing::UnorderedElementsAreArray(all_epochs(4, 2)));
    EXPECT_EQ(logged_blocks(o.work_dir), std::set<int>({0, 1, 2, 3}));
  }
}

// Stages x replicas; the last have more stages than there are blocks, or than turns.
constexpr std::array<Mesh, 8> meshes = {
    {{1, 1}, {2, 1}, {1, 2}, {3, 1}, {2, 2}, {4, 1}, {5, 1}, {3, 2}}};

// One where both walks make the same plan.
std::vector<Walk> walks(const Mesh& mesh, int turns) {
  if (band_width(Walk::sweep, mesh.stages, turns) == turns) return {Walk::sweep};
  return {Walk::sweep, Walk::wavefront};
}

// Lag E, E/2, E/4 and E/8.
TEST_F(QuantizeOnMeshes, BytesAreTheSameOnEveryMeshAndWalk) {
  use_blocks(4);
  constexpr int epochs = 8;
  for (const int lag : {8, 4, 2, 1}) {
    QuantizeOptions one = options(fmt::format("one{}", lag));
    const auto set = [&](QuantizeOptions& o) {
      o.samples = 3;
      o.epochs = epochs;
      o.batch = 2;
      o.lag = lag;
    };
    set(one);
    const QuantizeResult whole = run(one);
    for (const Mesh& mesh : meshes) {
      for (const Walk walk : walks(mesh, epochs / lag)) {
        QuantizeOptions many = options(
            fmt::format("lag{}-{}x{}-{}", lag, mesh.stages, mesh.replicas, static_cast<int>(walk)));
        set(many);
        many.stages = mesh.stages;
        many.walk = walk;
        if (mesh.stages == 2) many.stream_memory = 2000;  // a few samples
        const QuantizeResult result = run(many, mesh.ranks(), 1 + mesh.stages % 2);
        ASSERT_TRUE(bytes(file_name(many.output_dir)) == bytes(file_name(one.output_dir)))
            << many.output_dir;
        ASSERT_EQ(result.blocks.size(), 4U);
        for (size_t block = 0; block < 4; ++block) {
          EXPECT_EQ(result.blocks[block].block, static_cast<int>(block));
          EXPECT_EQ(result.blocks[block].last_loss, whole.blocks[block].last_loss)
              << many.output_dir << ", block " << block;
          EXPECT_EQ(result.blocks[block].cosine, whole.blocks[block].cosine)
              << many.output_dir << ", block " << block;
        }
      }
    }
  }
}

// What is rounded for a neighbour is rounded where there is none.
TEST_F(QuantizeOnMeshes, SixteenBitStreamsGiveTheSameBytesOnEveryMesh) {
  use_blocks(3);
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const Mesh& mesh : {Mesh{1, 1}, Mesh{2, 1}, Mesh{1, 2}, Mesh{3, 1}}) {
      QuantizeOptions o =
          options(fmt::format("{}-{}x{}", dtype_word(dtype), mesh.stages, mesh.replicas));
      o.stream_dtype = dtype;
      o.batch = 2;
      o.lag = 1;
      o.stages = mesh.stages;
      if (mesh.stages == 2) o.stream_memory = 1000;  // a few samples
      run(o, mesh.ranks());
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(fmt::format("{}-1x1", dtype_word(dtype))))
          << o.output_dir;
    }
  }
  EXPECT_FALSE(bytes("float16-1x1") == bytes("float32-1x1"));
  EXPECT_FALSE(bytes("bfloat16-1x1") == bytes("float16-1x1"));
}

TEST_F(QuantizeOnMeshes, AWishOfARankBeyondTheMeshIsHeard) {
  run(options("whole"));
  const QuantizeOptions o = options("stopped");  // batch 1: one rank of three has work
  std::atomic<int> stopped = 0;
  run_ranks(3, [&](Communicator& comm) {
    at::set_num_threads(1);
    ThreadPool pool(1, [] { at::set_num_threads(1); });
    QuantizeObserver silent;
    RunControl control;
    control.wishes.asked = [&] { return comm.rank() == 2 ? "SIGUSR2" : ""; };
    try {
      check_and_quantize(o, *files_, comm, pool, silent, control);
    } catch (const AgreedStop& stop) {
      EXPECT_THAT(stop.what(), testing::HasSubstr("SIGUSR2"));
      ++stopped;
    }
  });
  EXPECT_EQ(stopped, 3);
  run(o, 2);
  EXPECT_TRUE(bytes("stopped") == bytes("whole"));
}

// A rank beyond the mesh sees the end, and the stop.
TEST_F(QuantizeOnMeshes, StoppedOnOneMeshItGoesOnOnAnother) {
  use_blocks(4);
  const auto set = [](QuantizeOptions& o, int i) {
    o.samples = 4;
    o.epochs = 4;
    o.batch = 2;
    o.lag = 1;
    o.stages = meshes[static_cast<size_t>(i) % meshes.size()].stages;
    o.walk = i % 2 == 0 ? Walk::wavefront : Walk::sweep;
  };
  QuantizeOptions whole = options("whole");
  set(whole, 0);
  run(whole);
  int stops = 0;
  for (int i = 1; i < 16; ++i) {
    QuantizeOptions o = options(fmt::format("stopped{}", i));
    for (const int start : {i, i + 3}) {
      set(o, start);
      std::atomic<int> left = 7 * start;
      control_.wishes.asked = [&] { return left-- <= 0 ? "SIGTERM" : ""; };
      try {
        run(o, meshes[static_cast<size_t>(start) % meshes.size()].ranks() + start % 2);
      } catch (const AgreedStop&) {
        ++stops;
      }
    }
    control_.wishes.asked = [] { return ""; };
    set(o, i + 5);
    run(o, meshes[static_cast<size_t>(i + 5) % meshes.size()].ranks());
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << "case " << i;
  }
  EXPECT_GT(stops, 20);
}

}  // namespace
}  // namespace bitmill
