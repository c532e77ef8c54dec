// The whole job on a tiny model: what it leaves.

#include "pipeline/quantize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "counted_files.hpp"
#include "device/host_product.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Quantize = TinyJob;

TEST_F(Quantize, StreamsOnDiskGiveTheSameBytes) {
  QuantizeOptions memory = options("memory"), disk = options("disk");
  disk.stream_memory = 2000;  // a few samples
  run(memory);
  run(disk, 2);
  EXPECT_TRUE(bytes("memory") == bytes("disk"));
}

// Every job of other tests that compares bytes of ranks does so in float32.
TEST_F(Quantize, ProductsInBfloat16HaveTheSameBytesOnAnyRanksAndNearlyTheLossOfFloat32) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  QuantizeOptions rounded = options("one");
  rounded.dtype = Dtype::bfloat16;
  QuantizeOptions exact = rounded;  // signs are frozen: a learned one that flips changes much
  exact.output_dir = folder_ / "exact";
  exact.dtype = Dtype::float32;
  const QuantizeResult one = run(rounded), plain = run(exact);
  ASSERT_EQ(one.blocks.size(), plain.blocks.size());
  for (size_t block = 0; block < one.blocks.size(); ++block) {
    const double loss = plain.blocks[block].last_loss;
    EXPECT_NEAR(one.blocks[block].last_loss, loss, 0.05 * std::abs(loss)) << block;
  }
  EXPECT_NE(bytes("one"), bytes("exact"));
  QuantizeOptions two = options("two");
  two.dtype = rounded.dtype;
  run(two, 2, 2);
  EXPECT_EQ(bytes("one"), bytes("two"));
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

TEST_F(Quantize, ResultCarriesACardTheSourcesCardAndThePythonFile) {
  folder_.write("model/README.md", "---\nlicense: mit\n---\n");
  run(options("out"));
  run(options("again"), 3);
  const std::string card = folder_.read("out/README.md");
  EXPECT_THAT(card, AllOf(HasSubstr("base model | `model`"), HasSubstr("license: mit"),
                          HasSubstr("11 windows of 9 tokens, 2 epochs")));
  EXPECT_EQ(folder_.read("out/SOURCE_README.md"), "---\nlicense: mit\n---\n");
  EXPECT_EQ(folder_.read("out/modeling_bitmill.py"), embedded_python_file());
  const auto config = nlohmann::json::parse(folder_.read("out/config.json"));
  EXPECT_TRUE(config.at("auto_map").contains("AutoModelForCausalLM"));
  EXPECT_TRUE(config.contains("transformers_weights"));
  EXPECT_EQ(folder_.read("again/README.md"), card);
  EXPECT_EQ(folder_.read("again/config.json"), folder_.read("out/config.json"));
}

TEST_F(Quantize, TheForecastOfBytesAndBitsIsExact) {
  for (const char* ratio : {"0", "0.2", "0.9"}) {
    QuantizeOptions o = options(std::string("out") + ratio);
    o.method.salient_ratio = ExactRatio::parse(ratio);
    o.ignore = "k_proj";
    const QuantizeForecast forecast = check_quantize(o, *files_, 1, 1).forecast;
    const QuantizeResult result = run(o);
    const Inspection inspection = inspect_folder(*files_, o.output_dir);
    EXPECT_EQ(forecast.packed_bytes, inspection.tensor_bytes) << ratio;
    EXPECT_DOUBLE_EQ(forecast.bits_per_weight, result.bits_per_weight) << ratio;
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

TEST_F(Quantize, EveryShuffleSeedLearnsOtherSigns) {
  const auto packed = [&](const char* name, std::optional<uint64_t> seed) {
    QuantizeOptions o = options(name);
    o.method.learned.signs = true;
    o.shuffle_seed = seed;
    run(o);
    return bytes(name);
  };
  const std::string plain = packed("plain", std::nullopt), one = packed("one", 1);
  EXPECT_EQ(packed("again", 1), one);
  EXPECT_NE(one, plain);
  EXPECT_NE(packed("two", 2), one);
  const auto config = nlohmann::json::parse(folder_.read("one/config.json"));
  EXPECT_EQ(config.at("quantization_config").at("bitmill").at("settings").at("shuffle_seed"), 1);
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

TEST_F(Quantize, AResultThatAnotherJobMakesAfterTheCheckIsVerifiedAndNotMadeAgain) {
  const QuantizeOptions o = options("out");
  on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
    const CheckedQuantize checked = check_quantize(o, *files_, 1, 1);
    run(o);
    QuantizeObserver silent;
    EXPECT_TRUE(quantize(checked, *files_, comm, *cpu_device(pool), silent, control_).already_done);
  });
}

TEST_F(Quantize, TheCheckReadsTheCalibrationOnceAndTheWorkNotAtAll) {
  CountedFiles files;
  const QuantizeOptions o = options("out");
  const TensorInfo tokens = SafetensorsFile(*files_, o.calib).info("input_ids");
  on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
    const CheckedQuantize checked = check_quantize(o, files, 1, 1);
    EXPECT_EQ(files.read_of(o.calib, tokens.offset, tokens.bytes), tokens.bytes);
    const int64_t with_header = files.read_of(o.calib);
    QuantizeObserver silent;
    quantize(checked, files, comm, *cpu_device(pool), silent, control_);
    EXPECT_EQ(files.read_of(o.calib), with_header);
  });
}

}  // namespace
}  // namespace bitmill
