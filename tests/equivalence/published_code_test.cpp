// The method against the authors' published code: ../shared/oracle, made by running that code in
// float32 on the same windows. Settings as there: 32 samples of 256, 20 epochs, batch 1.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.hpp"
#include "comm/self_communicator.hpp"
#include "data/token_text.hpp"
#include "eval/evaluate.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "model/one_thread.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

const std::string shared = BITMILL_SOURCE_DIR "/../shared/";
const std::string oracle = shared + "oracle/stories260K/";

struct Losses final : QuantizeObserver {
  std::vector<std::vector<double>> of_block;
  void epoch_done(const Position& at, double loss) override {
    of_block.resize(std::max(of_block.size(), static_cast<size_t>(at.block) + 1));
    of_block[at.block].push_back(loss);
  }
};

// Salient entries equal `theirs` but for columns whose saliency ties with the threshold, of which
// the published code takes all and we take the lowest: then ours is a subset.
void expect_mask(const PackedLinear& ours, const std::vector<std::byte>& theirs,
                 const std::string& name) {
  int64_t only_ours = 0, only_theirs = 0;
  for (int64_t c = 0; c < ours.cols; ++c) {
    const bool mine = packed::get_bit(ours.mask.data(), c) != 0;
    const bool published = theirs[c] != std::byte{0};
    only_ours += mine && !published;
    only_theirs += !mine && published;
  }
  EXPECT_EQ(only_ours, 0) << name;
  // Exact ties occur at o_proj only, where heads share a key-value head (METHOD.md, "The
  // mask").
  if (name.find("o_proj") == std::string::npos) {
    EXPECT_EQ(only_theirs, 0) << name;
  }
}

// Our 4-bit columns within one float16 step of the published ones.
void expect_salient_values(const PackedLinear& ours, const std::vector<float>& theirs,
                           const std::string& name) {
  const std::vector<float> mine = dequantize(ours);
  for (int64_t i = 0; i < ours.rows; ++i) {
    for (int64_t c = 0; c < ours.cols; ++c) {
      if (packed::get_bit(ours.mask.data(), c) == 0) continue;
      const float a = mine[i * ours.cols + c], b = theirs[i * ours.cols + c];
      const float step = std::max(std::abs(b), 6e-5F) * 0x1p-10F;
      ASSERT_NEAR(a, b, step) << name << " [" << i << ", " << c << "]";
    }
  }
}

TEST(PublishedCode, LossesMasksCodesAndPerplexityAgree) {
  if (!std::filesystem::exists(oracle)) GTEST_SKIP() << "no " << oracle << " on this machine";
  const auto files = posix_files();
  const auto comm = self_communicator();
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  TempFolder folder;
  QuantizeOptions options;
  options.model = shared + "models/stories260K";
  options.calib = oracle + "calib.safetensors";
  options.output_dir = folder / "packed";
  options.work_dir = options.scratch_dir = folder / "work";
  options.samples = 32;
  options.seq_len = 256;
  Losses losses;
  quantize(check_quantize(options, *files, comm->size(), pool.size()), *files, *comm,
           *cpu_device(pool), losses, RunControl());

  const auto expected = nlohmann::json::parse(read_text(*files, oracle + "result.json"));
  const auto& expected_loss = expected.at("loss");
  ASSERT_EQ(losses.of_block.size(), expected_loss.size());
  for (size_t block = 0; block < expected_loss.size(); ++block) {
    const auto& theirs = expected_loss[block];
    ASSERT_EQ(losses.of_block[block].size(), theirs.size());
    const double first = theirs.front(), last = theirs.back();
    EXPECT_NEAR(losses.of_block[block].front(), first, 0.01 * first) << "block " << block;
    EXPECT_NEAR(losses.of_block[block].back(), last, 0.01 * last) << "block " << block;
  }

  const SafetensorsFile learned(*files, oracle + "learned.safetensors");
  const SourceModel packed(*files, options.output_dir);
  for (int64_t block = 0; block < packed.config().blocks; ++block) {
    for (const LinearShape& shape : block_linears(packed.config(), block)) {
      const PackedLinear ours =
          read_packed_linear(packed.tensors(), shape.tensor, shape.rows, shape.cols);
      const std::string base = shape.tensor.substr(0, shape.tensor.rfind(".weight"));
      const TensorInfo& mask = learned.info(base + ".salient");
      std::vector<std::byte> theirs(mask.bytes);
      learned.read(mask, theirs);
      expect_mask(ours, theirs, shape.tensor);
      const TensorInfo& dense = learned.info(base + ".dequantized");
      std::vector<std::byte> raw(dense.bytes);
      learned.read(dense, raw);
      std::vector<float> values(dense.elements());
      to_float32(dense.dtype, raw, values);
      expect_salient_values(ours, values, shape.tensor);
    }
  }

  const Tokens tokens =
      read_tokens(*files, oracle + "eval.safetensors", options.model, packed.config().vocab_size);
  StreamBudget budget(*files, INT64_MAX, folder / "streams");
  const Evaluation evaluation = evaluate(packed, nullptr, evaluation_windows(tokens, 256, 0),
                                         budget, *comm, *cpu_device(pool), {});
  const double perplexity = expected.at("perplexity_quantized");
  EXPECT_NEAR(evaluation.perplexity, perplexity, 0.02 * perplexity);
}

}  // namespace
}  // namespace bitmill
