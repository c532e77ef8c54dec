#include "infer/resident_model.hpp"

#include <gtest/gtest.h>

#include "infer/infer_models.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using test::cut_logits;
using test::difference;
using test::fast_path;
using test::golden_model;

class ResidentFamilies : public testing::TestWithParam<const char*> {
 protected:
  const std::unique_ptr<Files> files_ = posix_files();
  ThreadPool pool_{1};
  const SourceModel source_{*files_, golden_model(GetParam())};
  const test::Golden golden_ =
      test::read_golden(*files_, golden_model(GetParam()) + ".golden.safetensors");
};

TEST_P(ResidentFamilies, LogitsOfBothPathsAreThoseOfTransformers) {
  const at::Tensor rows = at::tensor(golden_.rows, at::kInt).to(at::kLong);
  for (const ProductPath path : {ProductPath::reference, ProductPath::fast}) {
    ResidentOptions options = fast_path(Activations::int8);
    options.path = path;
    const ResidentModel model(*files_, source_, options, pool_);
    const at::Tensor logits = cut_logits(model, golden_.ids, {}, pool_);
    EXPECT_LT(difference(logits.index_select(0, rows), golden_.logits), 1e-5);
  }
}

TEST_P(ResidentFamilies, AnyCutOfATextGivesTheSameBits) {
  const ResidentModel model(*files_, source_, fast_path(Activations::int8), pool_);
  const at::Tensor whole = cut_logits(model, golden_.ids, {}, pool_);
  const std::vector<int64_t> ones(golden_.ids.size(), 1);
  for (const std::vector<int64_t>& cut : {ones, {1, 2, 3, 5, 7}, {16, 16}, {30}}) {
    EXPECT_TRUE(cut_logits(model, golden_.ids, cut, pool_).equal(whole));
  }
}

// The same text beside itself, in three sessions that are in different places of it.
TEST_P(ResidentFamilies, SessionsTogetherGetTheBitsThatTheyGetAlone) {
  const ResidentModel model(*files_, source_, fast_path(Activations::int8), pool_);
  const at::Tensor whole = cut_logits(model, golden_.ids, {}, pool_);
  const std::span<const int32_t> ids(golden_.ids);
  std::vector<Session> sessions;
  for (int i = 0; i < 3; ++i) sessions.emplace_back(model.config(), std::ssize(ids));
  for (const size_t step : {4, 1, 7, 1, 2}) {
    std::vector<NewTokens> parts;
    std::vector<at::Tensor> expected;
    for (size_t i = 0; i < sessions.size(); ++i) {
      const auto done = static_cast<size_t>(sessions[i].length);
      const size_t count = std::min(step + i, ids.size() - done);
      if (count == 0) continue;
      parts.push_back({&sessions[i], ids.subspan(done, count)});
      expected.push_back(whole.narrow(0, sessions[i].length, static_cast<int64_t>(count)));
    }
    const at::Tensor together = model.logits(model.forward_together(parts, pool_), pool_);
    EXPECT_TRUE(together.equal(at::cat(expected)));
  }
}

TEST_P(ResidentFamilies, AnyNumberOfThreadsGivesTheSameBits) {
  ThreadPool three(3, [] { at::set_num_threads(1); });
  const ResidentModel model(*files_, source_, fast_path(Activations::int8), pool_);
  EXPECT_TRUE(cut_logits(model, golden_.ids, {9, 1, 1}, three)
                  .equal(cut_logits(model, golden_.ids, {9, 1, 1}, pool_)));
}

TEST_P(ResidentFamilies, APackedModelInFloat32GivesTheLogitsOfItsDequantizedWeights) {
  const TempFolder folder;
  test::write_packed_like(*files_, source_, folder / "packed");
  const SourceModel packed(*files_, folder / "packed");
  const at::Tensor expected = test::compute_logits(packed, golden_.ids, pool_);
  const ResidentModel model(*files_, packed, fast_path(Activations::float32), pool_);
  EXPECT_LT(difference(cut_logits(model, golden_.ids, {11, 1}, pool_), expected), 1e-4);
  EXPECT_LT(
      model.resident_bytes(),
      ResidentModel(*files_, packed, {.path = ProductPath::reference}, pool_).resident_bytes());
}

INSTANTIATE_TEST_SUITE_P(All, ResidentFamilies, testing::ValuesIn(test::golden_families),
                         [](const auto& family) { return test::test_name(family.param); });

struct WindowCase {
  std::string name;
  nlohmann::json changes;  // null: the key is removed
};

std::vector<WindowCase> window_cases() {
  const auto files = posix_files();
  const auto all = nlohmann::json::parse(
      read_text(*files, BITMILL_SOURCE_DIR "/tests/golden/infer/windows.json"));
  std::vector<WindowCase> cases;
  for (const auto& [name, changes] : all.items()) cases.push_back({name, changes});
  return cases;
}

// The texts are several windows long.
TEST(ResidentModel, ASlidingWindowIsThatOfTransformersInEveryCut) {
  const auto files = posix_files();
  ThreadPool pool(1);
  for (const auto& [name, changes] : window_cases()) {
    const TempFolder folder;
    const SourceModel whole(*files, golden_model(name));
    std::vector<TensorSource> tensors;
    for (const std::string& tensor : whole.tensors().names()) {
      tensors.push_back(test::copied(whole.tensors(), tensor));
    }
    write_shards(*files, folder.path(), tensors, {{"format", "pt"}}, 1 << 30);
    nlohmann::json config = read_config_json(*files, golden_model(name));
    for (const auto& [key, value] : changes.items()) {
      if (value.is_null()) {
        config.erase(key);
      } else {
        config[key] = value;
      }
    }
    folder.write("config.json", config.dump());
    const SourceModel source(*files, folder.path());
    const auto golden = test::read_golden(
        *files, BITMILL_SOURCE_DIR "/tests/golden/infer/" + name + "-window.golden.safetensors");
    const ResidentModel model(*files, source, fast_path(Activations::float32), pool);
    const std::vector<int64_t> ones(golden.ids.size(), 1);
    for (const std::vector<int64_t>& cut : {std::vector<int64_t>(), ones, {5, 11, 1, 1}}) {
      EXPECT_LT(difference(cut_logits(model, golden.ids, cut, pool), golden.logits), 1e-5) << name;
    }
  }
}

TEST(ResidentModel, AnInt8HeadIsNearTheStoredOneAndSmaller) {
  const auto files = posix_files();
  ThreadPool pool(1);
  const SourceModel source(*files, BITMILL_SOURCE_DIR "/tests/data/books-2M");
  const std::vector<int32_t> ids = {5, 300, 17, 1999, 4, 5, 6, 7};
  ResidentOptions options = fast_path(Activations::int8);
  const ResidentModel stored(*files, source, options, pool);
  options.int8_head = true;
  const ResidentModel rounded(*files, source, options, pool);
  EXPECT_LT(rounded.resident_bytes(), stored.resident_bytes());
  const double gap =
      difference(cut_logits(rounded, ids, {}, pool), cut_logits(stored, ids, {}, pool));
  EXPECT_GT(gap, 0);
  EXPECT_LT(gap, 0.02);
}

}  // namespace
}  // namespace bitmill
