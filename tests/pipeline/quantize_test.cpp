// The whole job on a tiny model: the same bytes for any ranks and threads, and what bad input gets.

#include "pipeline/quantize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <limits>
#include <vector>

#include "base/error.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/tiny_job.hpp"
#include "schedule/plan.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using Quantize = TinyJob;

TEST_F(Quantize, BytesAreTheSameForAnyRanksAndThreads) {
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

TEST_F(Quantize, MeanSaliencyIsTheSameForAnyRanks) {
  QuantizeOptions one = options("one"), three = options("three");
  one.batch = three.batch = 4;
  one.method.saliency = three.method.saliency = Saliency::mean;
  run(one);
  run(three, 3, 2);
  EXPECT_TRUE(bytes("one") == bytes("three"));
}

TEST_F(Quantize, TurnsGiveTheSameBytesForAnyRanksAndOtherBytesThanNoTurns) {
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

// Stages x replicas; the last have more stages than there are blocks, or than turns.
constexpr std::array<Mesh, 8> meshes = {
    {{1, 1}, {2, 1}, {1, 2}, {3, 1}, {2, 2}, {4, 1}, {5, 1}, {3, 2}}};

// One where both walks make the same plan.
std::vector<Walk> walks(const Mesh& mesh, int turns) {
  if (band_width(Walk::sweep, mesh.stages, turns) == turns) return {Walk::sweep};
  return {Walk::sweep, Walk::wavefront};
}

// Lag E, E/2, E/4 and E/8.
TEST_F(Quantize, BytesAreTheSameOnEveryMeshAndWalk) {
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
TEST_F(Quantize, SixteenBitStreamsGiveTheSameBytesOnEveryMesh) {
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

TEST_F(Quantize, AWishOfARankBeyondTheMeshIsHeard) {
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
      quantize(o, *files_, comm, pool, silent, control);
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
TEST_F(Quantize, StoppedOnOneMeshItGoesOnOnAnother) {
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

TEST_F(Quantize, StreamsOnDiskGiveTheSameBytes) {
  QuantizeOptions memory = options("memory"), disk = options("disk");
  disk.stream_memory = 2000;  // a few samples
  run(memory);
  run(disk, 2);
  EXPECT_TRUE(bytes("memory") == bytes("disk"));
}

TEST_F(Quantize, ShardsHoldTheSameTensors) {
  QuantizeOptions shards = options("shards"), whole = options("whole");
  shards.max_shard_bytes = 3000;
  run(shards);
  run(whole);
  const TensorFolder a(*files_, shards.output_dir), b(*files_, whole.output_dir);
  EXPECT_GT(a.shards().size(), 1U);
  ASSERT_EQ(a.names(), b.names());
  for (const std::string& name : a.names()) {
    std::vector<std::byte> left(a.info(name).bytes), right(b.info(name).bytes);
    a.read(name, left);
    b.read(name, right);
    EXPECT_EQ(left, right) << name;
  }
}

TEST_F(Quantize, TrainingLowersTheLossAndTheReportSaysSo) {
  QuantizeOptions o = options("out");
  o.epochs = 12;
  const QuantizeResult result = run(o);
  ASSERT_EQ(result.blocks.size(), 2U);
  for (const BlockReport& block : result.blocks) {
    EXPECT_LT(block.last_loss, block.first_loss);
    EXPECT_GT(block.cosine, 0);
    EXPECT_GT(block.relative_error, 0);
  }
  EXPECT_GT(result.bits_per_weight, 1);
  EXPECT_NE(folder_.read("out.work/blocks.jsonl").find("\"packed\""), std::string::npos);
}

TEST_F(Quantize, ResultCarriesEverythingAndSaysHowItWasMade) {
  run(options("out"));
  EXPECT_EQ(folder_.read("out/tokenizer_config.json"), "{}");
  const auto config = nlohmann::json::parse(folder_.read("out/config.json"));
  const auto& made = config.at("quantization_config");
  EXPECT_EQ(made.at("quant_method"), "ptq161");
  for (const char* key : {"version", "recipe", "settings", "source_hash", "numerics_class"}) {
    EXPECT_TRUE(made.at("bitmill").contains(key)) << key;
  }
  EXPECT_TRUE(made.at("bitmill").at("settings").contains("windows"));
  verify_packed_folder(*files_, folder_ / "out", {});
}

TEST_F(Quantize, PlanPredictsBytesAndBitsExactly) {
  for (const char* ratio : {"0", "0.2", "0.9"}) {
    QuantizeOptions o = options(std::string("out") + ratio);
    o.method.salient_ratio = ExactRatio::parse(ratio);
    o.ignore = "k_proj";
    const QuantizePlan plan = plan_quantize(o, *files_, 1, 1);
    const QuantizeResult result = run(o);
    const Inspection inspection = inspect_folder(*files_, o.output_dir);
    EXPECT_EQ(plan.packed_bytes, inspection.tensor_bytes) << ratio;
    EXPECT_DOUBLE_EQ(plan.bits_per_weight, result.bits_per_weight) << ratio;
  }
}

TEST_F(Quantize, SecondRunOfTheSameConfigurationVerifiesAndOthersAreRefused) {
  run(options("out"));
  EXPECT_TRUE(run(options("out")).already_done);
  QuantizeOptions other = options("out");
  other.epochs = 3;
  EXPECT_THROW(run(other), UsageError);
  // Other weights under the same names are another result.
  test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_, 2));
  EXPECT_THROW(run(options("out")), UsageError);
}

TEST_F(Quantize, IgnoredLinearsAndLaterBlocksStayAsTheyAre) {
  QuantizeOptions o = options("out");
  o.ignore = "down_proj";
  o.max_blocks = 1;
  const QuantizeResult made = run(o);
  const TensorFolder result(*files_, o.output_dir);
  EXPECT_TRUE(is_packed(result, "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_EQ(made.blocks.size(), 1U);
  EXPECT_FALSE(is_packed(result, "model.layers.0.mlp.down_proj.weight"));
  EXPECT_TRUE(result.contains("model.layers.0.mlp.down_proj.weight"));
  EXPECT_TRUE(result.contains("model.layers.1.self_attn.q_proj.weight"));
}

TEST_F(Quantize, BlockWhoseLinearsAreAllIgnoredPassesThrough) {
  QuantizeOptions o = options("out");
  o.ignore = "layers\\.0\\.";
  run(o);
  const TensorFolder result(*files_, o.output_dir);
  EXPECT_TRUE(result.contains("model.layers.0.mlp.down_proj.weight"));
  EXPECT_TRUE(is_packed(result, "model.layers.1.mlp.down_proj.weight"));
}

TEST_F(Quantize, WeightThatIsNotFiniteIsNamed) {
  auto tensors = test::tiny_tensors(config_);
  for (TensorSource& tensor : tensors) {
    if (tensor.name != "model.layers.1.mlp.up_proj.weight") continue;
    tensor.produce = [bytes = tensor.bytes()](const ByteSink& sink) {
      std::vector<float> values(bytes / 4, 0.5F);
      values[3] = std::numeric_limits<float>::quiet_NaN();
      sink(std::as_bytes(std::span(values)));
    };
  }
  test::write_model(*files_, folder_ / "model", config_, tensors);
  EXPECT_THAT(message(options("out")), HasSubstr("model.layers.1.mlp.up_proj.weight"));
}

TEST_F(Quantize, LossThatIsNotFiniteNamesBlockEpochAndSample) {
  QuantizeOptions o = options("out");
  o.method.lr_scale = o.method.lr_gain = 1e30;
  const std::string text = message(o);
  EXPECT_THAT(text, HasSubstr("block 0"));
  EXPECT_THAT(text, HasSubstr("sample"));
  o.method.lr_scale = o.method.lr_gain = 1e-2;
  run(o);
}

TEST_F(Quantize, StateOnDiskIsCountedOnAllRanksAndIsNearlyWhatWasPlanned) {
  QuantizeOptions one = options("one"), two = options("two");
  one.method.learned.signs = two.method.learned.signs = true;
  one.lag = two.lag = 1;
  two.stages = 2;
  const QuantizeResult alone = run(one), shared = run(two, 2);
  EXPECT_EQ(shared.state_bytes, alone.state_bytes);
  EXPECT_EQ(shared.state_bytes_written, alone.state_bytes_written) << "rank 1 writes block 1";
  EXPECT_GE(alone.state_bytes_written, 2 * alone.state_bytes);  // two blocks
  // The vectors' segments begin at multiples of 16 floats, which weighs in blocks as small as this.
  EXPECT_GE(alone.state_bytes, alone.planned_state_bytes);
  EXPECT_LT(static_cast<double>(alone.state_bytes),
            1.2 * static_cast<double>(alone.planned_state_bytes));
}

TEST_F(Quantize, TextShorterThanAWindowIsRefused) {
  QuantizeOptions o = options("out");
  Tokens few;
  few.ids = {1, 2, 3};
  write_token_file(*files_, o.calib, few);
  EXPECT_THAT(message(o), HasSubstr("3 tokens"));
}

TEST_F(Quantize, TokenBeyondTheVocabularyIsRefused) {
  write_tokens(200);
  EXPECT_THAT(message(options("out")), HasSubstr("31"));
}

TEST_F(Quantize, OutputFolderThatIsNotEmptyIsRefusedAndKept) {
  folder_.write("out/precious.txt", "mine");
  QuantizeOptions o = options("out");
  EXPECT_THROW(run(o), UsageError);
  EXPECT_EQ(folder_.read("out/precious.txt"), "mine");
}

TEST_F(Quantize, PackedFolderAsSourceIsRefused) {
  run(options("out"));
  QuantizeOptions again = options("again");
  again.model = folder_ / "out";
  EXPECT_THAT(message(again), HasSubstr("packed already"));
}

TEST_F(Quantize, SettingsThatContradictAreRefused) {
  const auto refused = [&](auto change) {
    QuantizeOptions o = options("out");
    change(o);
    EXPECT_THROW(run(o), UsageError);
  };
  refused([](QuantizeOptions& o) { o.batch = 0; });
  refused([](QuantizeOptions& o) { o.batch = 12; });
  refused([](QuantizeOptions& o) { o.epochs = 0; });
  refused([](QuantizeOptions& o) { o.lag = 3; });
  refused([](QuantizeOptions& o) { o.seq_len = 65; });
  refused([](QuantizeOptions& o) { o.ignore = "("; });
  refused([](QuantizeOptions& o) { o.ignore = "."; });
  refused([](QuantizeOptions& o) { o.backend = "cuda"; });
  refused([](QuantizeOptions& o) { o.method.lr_gain = -1; });
}

}  // namespace
}  // namespace bitmill
