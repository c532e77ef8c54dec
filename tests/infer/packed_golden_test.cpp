// A packed model against its export in transformers: tests/golden/infer/make_packed.py.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/infer_models.hpp"

namespace bitmill {
namespace {

using test::cut_logits;
using test::difference;
using test::golden_families;

const std::string packed_goldens = BITMILL_SOURCE_DIR "/tests/golden/infer/packed/";

ResidentOptions float32_on(const std::string& kernel) {
  ResidentOptions options = test::fast_path(Activations::float32);
  options.kernel = &choose_cpu_kernel(kernel);
  return options;
}

int32_t greedy_pick(const at::Tensor& logits) {
  return static_cast<int32_t>(logits[logits.size(0) - 1].argmax().item<int64_t>());
}

class PackedGolden : public testing::TestWithParam<std::string> {
 protected:
  struct Text {
    std::vector<int32_t> prompt, ids;
  };
  Text text(const std::string& name) const {
    const auto all = nlohmann::json::parse(read_text(*files_, packed_goldens + "greedy.json"));
    const auto& model = all.at("models").at(name);
    return {model.at("prompt_ids"), model.at("ids")};
  }
  // Token by token, after a prompt that goes in pieces of these lengths.
  std::vector<int32_t> with_cache(const ResidentModel& model, const Text& text,
                                  const std::vector<int64_t>& cut, ThreadPool& pool) const {
    Session session(model.config(), std::ssize(text.prompt) + std::ssize(text.ids));
    at::Tensor x;
    int64_t first = 0;
    for (const int64_t length : cut) {
      x = model.forward(session, std::span(text.prompt).subspan(first, length), pool);
      first += length;
    }
    std::vector<int32_t> ids = {greedy_pick(model.logits(x, pool))};
    while (ids.size() < text.ids.size()) {
      x = model.forward(session, {&ids.back(), 1}, pool);
      ids.push_back(greedy_pick(model.logits(x, pool)));
    }
    return ids;
  }

  const std::unique_ptr<Files> files_ = posix_files();
  ThreadPool one_{1}, three_{3, [] { at::set_num_threads(1); }};
};
INSTANTIATE_TEST_SUITE_P(Kernels, PackedGolden, testing::ValuesIn(usable_cpu_kernels()));

TEST_P(PackedGolden, LogitsInFloat32AreThoseOfItsExportInTransformers) {
  for (const char* name : golden_families) {
    const SourceModel source(*files_, packed_goldens + name);
    const auto golden = test::read_golden(*files_, packed_goldens + name + ".golden.safetensors");
    const ResidentModel model(*files_, source, float32_on(GetParam()), one_);
    EXPECT_EQ(model.kernel(), GetParam());
    const std::vector<int64_t> ones(golden.ids.size(), 1);
    for (const std::vector<int64_t>& cut : {std::vector<int64_t>(), ones, {7, 1, 11}}) {
      EXPECT_LT(difference(cut_logits(model, golden.ids, cut, three_), golden.logits), 1e-5)
          << name;
    }
  }
}

// As far as transformers found no two tokens that are almost equally likely.
TEST_P(PackedGolden, GreedyTextsAreThoseOfItsExportInTransformers) {
  for (const char* name : golden_families) {
    const SourceModel source(*files_, packed_goldens + name);
    const ResidentModel model(*files_, source, float32_on(GetParam()), one_);
    const Text expected = text(name);
    ASSERT_EQ(expected.prompt.size(), 5u);
    EXPECT_GE(expected.ids.size(), 40u) << name;
    EXPECT_EQ(with_cache(model, expected, {5}, one_), expected.ids) << name;
    EXPECT_EQ(with_cache(model, expected, {2, 1, 2}, three_), expected.ids) << name;
    EXPECT_EQ(with_cache(model, expected, {1, 1, 1, 1, 1}, one_), expected.ids) << name;
  }
}

// Without a cache: logits of the whole text at once say every next token.
TEST_P(PackedGolden, LogitsOfAWholeTextSayTheSameTokens) {
  for (const char* name : golden_families) {
    const SourceModel source(*files_, packed_goldens + name);
    const ResidentModel model(*files_, source, float32_on(GetParam()), one_);
    const Text expected = text(name);
    std::vector<int32_t> ids = expected.prompt;
    ids.insert(ids.end(), expected.ids.begin(), expected.ids.end() - 1);
    const at::Tensor picked = cut_logits(model, ids, {}, one_).argmax(1);
    for (size_t i = 0; i < expected.ids.size(); ++i) {
      const auto row = static_cast<int64_t>(expected.prompt.size() + i) - 1;
      ASSERT_EQ(picked[row].item<int64_t>(), expected.ids[i]) << name << ", token " << i;
    }
  }
}

}  // namespace
}  // namespace bitmill
