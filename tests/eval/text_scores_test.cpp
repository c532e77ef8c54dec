#include "eval/text_scores.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"
#include "eval/evaluate.hpp"
#include "model/block_forward.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr int64_t vocabulary = 31;
constexpr int64_t much = int64_t{1} << 30;  // bytes

// A model that is computed in the plainest way, by itself.
class PlainWhole : public WholeModel {
 public:
  explicit PlainWhole(const SourceModel& model) : model_(model) {}

  at::Tensor forward(std::span<const int32_t> ids, ThreadPool& pool) const override {
    ++calls;
    const Rotary rotary = make_rotary(model_.config(), std::ssize(ids));
    at::Tensor x = model_.embed(ids);
    for (int64_t block = 0; block < model_.config().blocks; ++block) {
      x = dense_block_forward(model_.config(), model_.load_block(block), rotary, x, pool);
    }
    return x;
  }
  at::Tensor logits(const at::Tensor& x, ThreadPool& pool) const override {
    return head_logits(model_.config(), model_.load_head(), x, pool);
  }

  mutable std::atomic<int> calls = 0;

 private:
  const SourceModel& model_;
};

// Texts of 2 to 12 tokens, of which 1 to 4 are scored.
std::vector<ScoredText> random_texts(int64_t count) {
  std::vector<ScoredText> texts(count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t scored = 1 + i % 4, context = 1 + (i * 5) % 8;
    for (int64_t t = 0; t < context + scored; ++t) {
      const uint64_t id = random_below(11, RandomPurpose::test_data, 100 * i + t, vocabulary);
      texts[i].ids.push_back(static_cast<int32_t>(id));
    }
    texts[i].context = context;
  }
  return texts;
}

class TextScoresTest : public ::testing::Test {
 protected:
  SourceModel make_model(const std::string& name, uint64_t seed) {
    const std::string folder = folder_.path() + "/" + name;
    test::write_model(*files_, folder, test::tiny_config(),
                      test::tiny_tensors(test::tiny_config(), seed));
    return SourceModel(*files_, folder);
  }
  std::vector<TextScore> score_alone(const EvalModel& model, const std::vector<ScoredText>& texts,
                                     const EvalProgress& progress = {}) {
    StreamBudget budget(*files_, much, folder_.path() + "/streams");
    ThreadPool pool(1);
    return score_texts(model, texts, budget, *self_communicator(), *cpu_device(pool), progress);
  }

  const test::ScratchFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(TextScoresTest, AScoreIsTheSumOverTheContinuationAlone) {
  const SourceModel model = make_model("m", 1);
  const std::vector<ScoredText> texts = random_texts(9);
  const std::vector<TextScore> scores = score_alone(model, texts);
  ThreadPool pool(1);
  const PlainWhole plain(model);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto& ids = texts[i].ids;
    const at::Tensor log_p =
        at::log_softmax(plain.logits(plain.forward(ids, pool), pool).to(at::kDouble), -1);
    double expected = 0;
    bool greedy = true;
    for (int64_t t = texts[i].context; t < std::ssize(ids); ++t) {
      expected += log_p[t - 1][ids[t]].item<double>();
      greedy = greedy && log_p[t - 1].argmax().item<int64_t>() == ids[t];
    }
    EXPECT_NEAR(scores[i].log_likelihood, expected, 1e-5 * std::abs(expected));
    EXPECT_EQ(scores[i].greedy, greedy ? 1 : 0);
  }
}

TEST_F(TextScoresTest, TheTokensThatTheModelWouldWriteAreGreedy) {
  const SourceModel model = make_model("m", 1);
  const PlainWhole plain(model);
  ThreadPool pool(1);
  ScoredText text{.ids = {3, 7, 1}, .context = 3};
  for (int step = 0; step < 2; ++step) {
    const at::Tensor logits = plain.logits(plain.forward(text.ids, pool), pool);
    text.ids.push_back(static_cast<int32_t>(logits[-1].argmax().item<int64_t>()));
  }
  EXPECT_EQ(score_alone(model, {text})[0].greedy, 1);
  ScoredText wrong = text;
  // Not the last one: all of them must agree.
  wrong.ids[3] = static_cast<int32_t>((wrong.ids[3] + 1) % vocabulary);
  EXPECT_EQ(score_alone(model, {wrong})[0].greedy, 0);
}

struct Place {
  int ranks;
  int threads;
  int64_t stream_bytes;
  bool whole;
};
class TextScoresAnywhere : public TextScoresTest, public ::testing::WithParamInterface<Place> {};

TEST_P(TextScoresAnywhere, ScoresDoNotDependOnRanksThreadsOrMemory) {
  const auto [ranks, threads, stream_bytes, is_whole] = GetParam();
  const SourceModel model = make_model("m", 1), other = make_model("other", 2);
  const PlainWhole whole(other);  // another model: it must be asked
  const EvalModel evaluated(model, is_whole ? &whole : nullptr);
  const std::vector<ScoredText> texts = random_texts(13);
  const std::vector<TextScore> expected = score_alone(is_whole ? other : model, texts);
  std::mutex mutex;
  int heard = 0;
  run_ranks(ranks, [&](Communicator& comm) {
    at::set_num_threads(1);
    StreamBudget budget(*files_, stream_bytes,
                        folder_.path() + "/streams" + std::to_string(comm.rank()));
    ThreadPool pool(threads, [] { at::set_num_threads(1); });
    const auto scores = score_texts(evaluated, texts, budget, comm, *cpu_device(pool), {});
    const std::lock_guard lock(mutex);
    ++heard;
    ASSERT_EQ(scores.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(std::bit_cast<uint64_t>(scores[i].log_likelihood),
                std::bit_cast<uint64_t>(expected[i].log_likelihood));
      EXPECT_EQ(scores[i].greedy, expected[i].greedy);
    }
  });
  EXPECT_EQ(heard, ranks);
  EXPECT_EQ(whole.calls, is_whole ? std::ssize(texts) : 0) << "each text by one rank";
}

INSTANTIATE_TEST_SUITE_P(TextScores, TextScoresAnywhere,
                         ::testing::Values(Place{1, 3, much, false}, Place{2, 1, 0, false},
                                           Place{3, 2, 800, false}, Place{20, 1, much, false},
                                           Place{1, 3, much, true}, Place{3, 2, much, true},
                                           Place{20, 1, much, true}),
                         [](const auto& param_info) {
                           const Place& place = param_info.param;
                           return std::to_string(place.ranks) + "RanksOf" +
                                  std::to_string(place.threads) + "Threads" +
                                  std::to_string(place.stream_bytes) +
                                  (place.whole ? "Whole" : "ByBlocks");
                         });

// The number of a text among all: whoever reads it counts the texts of the files, not of a rank.
TEST_F(TextScoresTest, ATextThatOverflowsHasTheSameNumberForAnyNumberOfRanks) {
  // Blocks add nothing. For the normalized embedding (a, b, 0, ...) the first `up` of block 0 is
  // 1e38 (a + b): 0 for every token but the last of the vocabulary, which overflows.
  std::vector<TensorSource> tensors = test::tiny_tensors(test::tiny_config());
  for (TensorSource& tensor : tensors) {
    const bool is_norm = tensor.name.find("norm") != std::string::npos;
    std::vector<float> values(tensor.bytes() / 4, is_norm ? 1.0F : 0.0F);
    if (tensor.name == "model.layers.0.mlp.up_proj.weight") values[0] = values[1] = 1e38F;
    if (tensor.name == "model.embed_tokens.weight") {
      for (int64_t id = 0; id < vocabulary; ++id) {
        values[id * 12] = 1;
        values[id * 12 + 1] = id + 1 < vocabulary ? -1.0F : 1.0F;
      }
    }
    tensor.produce = [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); };
  }
  test::write_model(*files_, folder_.path(), test::tiny_config(), tensors);
  const SourceModel model(*files_, folder_.path());
  std::vector<ScoredText> texts(4, ScoredText{.ids = {1, 2, 3}, .context = 1});
  texts[3].ids[0] = vocabulary - 1;
  for (const int ranks : {1, 2, 3}) {
    std::string message;
    try {
      run_ranks(ranks, [&](Communicator& comm) {
        at::set_num_threads(1);
        StreamBudget budget(*files_, much, folder_.path() + "/streams");
        ThreadPool pool(1);
        score_texts(model, texts, budget, comm, *cpu_device(pool), {});
      });
    } catch (const NumericError& error) {
      message = error.what();
    }
    EXPECT_THAT(message, HasSubstr("text of the tasks 3,")) << ranks << " ranks";
  }
}

TEST_F(TextScoresTest, ProgressCountsAsManyPartsAsTheModelHasBlocks) {
  const SourceModel model = make_model("m", 1);
  const PlainWhole whole(model);
  for (const EvalModel& evaluated : {EvalModel(model), EvalModel(model, &whole)}) {
    std::vector<std::pair<int64_t, int64_t>> heard;
    score_alone(evaluated, random_texts(3),
                [&](int64_t done, int64_t total) { heard.emplace_back(done, total); });
    EXPECT_THAT(heard, ElementsAre(Pair(1, 2), Pair(2, 2)));
  }
}

// The other path of evaluate().
TEST_F(TextScoresTest, AWholeModelIsEvaluatedByItsOwnNumbers) {
  const SourceModel model = make_model("m", 1), other = make_model("other", 2);
  const PlainWhole whole(other);
  Windows windows{.count = 5, .seq_len = 7, .ids = {}};
  for (const ScoredText& text : random_texts(20)) {
    windows.ids.insert(windows.ids.end(), text.ids.begin(), text.ids.end());
  }
  windows.ids.resize(35);
  StreamBudget budget(*files_, much, folder_.path() + "/streams");
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const auto evaluated = [&](const EvalModel& of, const SourceModel* reference) {
    return evaluate(of, reference, windows, budget, *self_communicator(), *cpu_device(pool), {});
  };
  const Evaluation result = evaluated(EvalModel(model, &whole), &other);
  EXPECT_EQ(result.perplexity, evaluated(other, nullptr).perplexity);
  EXPECT_EQ(result.divergence->kl, 0);
  EXPECT_NE(result.perplexity, evaluated(model, nullptr).perplexity);
}

}  // namespace
}  // namespace bitmill
