#include "eval/evaluate.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"
#include "model/block_forward.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using test::random_tensor;
using test::tiny_config;
using test::tiny_tensors;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr int64_t vocab = 31;
constexpr int64_t plenty = int64_t{1} << 30;  // bytes

Windows random_windows(int64_t count, int64_t seq_len) {
  Windows windows{.count = count, .seq_len = seq_len, .ids = {}};
  for (int64_t i = 0; i < count * seq_len; ++i) {
    const uint64_t id = random_below(7, RandomPurpose::test_data, i, vocab);
    windows.ids.push_back(static_cast<int32_t>(id));
  }
  return windows;
}

// Log-probabilities of every next token, [T, vocab] float64, in the plainest way.
at::Tensor log_probabilities(const SourceModel& model, std::span<const int32_t> ids) {
  ThreadPool pool(1);
  const Rotary rotary = make_rotary(model.config(), std::ssize(ids));
  at::Tensor x = model.embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    x = dense_block_forward(model.config(), model.load_block(block), rotary, x, pool);
  }
  const at::Tensor logits = head_logits(model.config(), model.load_head(), x, pool);
  return at::log_softmax(logits.to(at::kDouble), -1);
}

// With room for the windows of more than 256 tokens.
json long_config() {
  json config = tiny_config();
  config["max_position_embeddings"] = 512;
  return config;
}

class EvaluateTest : public testing::Test {
 protected:
  SourceModel make_model(const std::string& name, uint64_t seed, bool uniform = false) {
    std::vector<TensorSource> tensors = tiny_tensors(config_, seed);
    if (uniform) {
      tensors.back().produce = [](const ByteSink& sink) {
        sink(std::vector<std::byte>(vocab * 12 * 4));
      };
    }
    const std::string folder = folder_.path() + "/" + name;
    test::write_model(*files_, folder, config_, tensors);
    return SourceModel(*files_, folder);
  }

  Evaluation evaluate_alone(const SourceModel& model, const SourceModel* reference,
                            const Windows& windows, const EvalProgress& progress = {}) {
    StreamBudget budget(*files_, plenty, folder_.path() + "/streams");
    ThreadPool pool(1);
    return evaluate(model, reference, windows, budget, *self_communicator(), *cpu_device(pool),
                    progress);
  }

  const test::ScratchFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  json config_ = long_config();
};

TEST_F(EvaluateTest, AModelThatKnowsNothingHasThePerplexityOfItsVocabulary) {
  const Evaluation result = evaluate_alone(make_model("m", 1, true), nullptr, random_windows(3, 9));
  EXPECT_NEAR(result.perplexity, vocab, 1e-4);
  EXPECT_EQ(result.tokens, 24);
  EXPECT_EQ(result.windows, 3);
  EXPECT_EQ(result.seq_len, 9);
  EXPECT_FALSE(result.divergence.has_value());
}

// 300 positions are more than the logits that are made at a time, and no multiple of them.
TEST_F(EvaluateTest, PerplexityIsTheExponentialOfTheMeanLossOverAllPredictions) {
  const SourceModel model = make_model("m", 1);
  const Windows windows = random_windows(4, 300);
  double loss = 0;
  for (int64_t w = 0; w < windows.count; ++w) {
    const auto ids = windows.window(w);
    const at::Tensor log_p = log_probabilities(model, ids);
    for (int64_t t = 0; t + 1 < windows.seq_len; ++t) {
      loss -= log_p[t][ids[t + 1]].item<double>() / (4 * 299);
    }
  }
  EXPECT_NEAR(evaluate_alone(model, nullptr, windows).perplexity, std::exp(loss), 1e-4);
}

TEST_F(EvaluateTest, AModelDoesNotDivergeFromItself) {
  const SourceModel model = make_model("m", 1), same = make_model("same", 1);
  const Evaluation result = evaluate_alone(model, &same, random_windows(3, 17));
  ASSERT_TRUE(result.divergence.has_value());
  EXPECT_EQ(result.divergence->kl, 0);
  EXPECT_EQ(result.divergence->top1, 1);
}

TEST_F(EvaluateTest, DivergenceIsThatOfTheReferencesDistributionFromTheModels) {
  const SourceModel model = make_model("m", 1), reference = make_model("reference", 2);
  const Windows windows = random_windows(2, 150);
  double kl = 0, agreed = 0;
  for (int64_t w = 0; w < windows.count; ++w) {
    const at::Tensor log_q = log_probabilities(model, windows.window(w)).narrow(0, 0, 149);
    const at::Tensor log_p = log_probabilities(reference, windows.window(w)).narrow(0, 0, 149);
    kl += (log_p.exp() * (log_p - log_q)).sum().item<double>() / 298;
    agreed += log_p.argmax(-1).eq(log_q.argmax(-1)).sum().item<double>() / 298;
  }
  const Evaluation result = evaluate_alone(model, &reference, windows);
  EXPECT_GT(kl, 0.01);
  EXPECT_NEAR(result.divergence->kl, kl, 1e-6 * kl + 1e-7);
  EXPECT_NEAR(result.divergence->top1, agreed, 1e-12);
  EXPECT_EQ(result.perplexity, evaluate_alone(model, nullptr, windows).perplexity);
}

TEST_F(EvaluateTest, TheReferenceMayHaveAnotherShape) {
  const SourceModel model = make_model("m", 1);
  config_["num_hidden_layers"] = 3;
  config_["hidden_size"] = 16;
  const SourceModel reference = make_model("reference", 2);
  EXPECT_GT(evaluate_alone(model, &reference, random_windows(2, 9)).divergence->kl, 0);
}

struct Run {
  int ranks;
  int threads;
  int64_t stream_bytes;
};
class EvaluateAnywhere : public EvaluateTest, public testing::WithParamInterface<Run> {};

// Seven windows: no multiple of any number of ranks here but 1, and the activations of only some of
// them fit the smaller budgets.
TEST_P(EvaluateAnywhere, FiguresDoNotDependOnRanksThreadsOrMemory) {
  const auto [ranks, threads, stream_bytes] = GetParam();
  const SourceModel model = make_model("m", 1), reference = make_model("reference", 2);
  const Windows windows = random_windows(7, 33);
  const Evaluation expected = evaluate_alone(model, &reference, windows);

  std::mutex mutex;
  std::vector<Evaluation> results;
  run_ranks(ranks, [&](Communicator& comm) {
    at::set_num_threads(1);
    StreamBudget budget(*files_, stream_bytes,
                        folder_.path() + "/streams" + std::to_string(comm.rank()));
    ThreadPool pool(threads, [] { at::set_num_threads(1); });
    const Evaluation result =
        evaluate(model, &reference, windows, budget, comm, *cpu_device(pool), {});
    const std::lock_guard lock(mutex);
    results.push_back(result);
  });
  ASSERT_EQ(std::ssize(results), ranks);
  const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  for (const Evaluation& result : results) {
    EXPECT_EQ(bits(result.perplexity), bits(expected.perplexity));
    EXPECT_EQ(bits(result.divergence->kl), bits(expected.divergence->kl));
    EXPECT_EQ(bits(result.divergence->top1), bits(expected.divergence->top1));
    EXPECT_EQ(result.tokens, 7 * 32);
  }
}

INSTANTIATE_TEST_SUITE_P(Evaluate, EvaluateAnywhere,
                         testing::Values(Run{1, 1, 0}, Run{1, 3, plenty}, Run{2, 1, plenty},
                                         Run{3, 3, 5000}, Run{5, 1, 0}, Run{5, 3, 5000},
                                         Run{9, 1, plenty}),
                         [](const auto& param_info) {
                           const Run& run = param_info.param;
                           return std::to_string(run.ranks) + "RanksOf" +
                                  std::to_string(run.threads) + "Threads" +
                                  std::to_string(run.stream_bytes) + "Bytes";
                         });

TEST_F(EvaluateTest, ProgressCountsTheBlocksOfBothModels) {
  const SourceModel model = make_model("m", 1), reference = make_model("reference", 2);
  std::vector<std::pair<int64_t, int64_t>> heard;
  evaluate_alone(model, &reference, random_windows(1, 4),
                 [&](int64_t done, int64_t total) { heard.emplace_back(done, total); });
  EXPECT_THAT(heard, ElementsAre(Pair(1, 4), Pair(2, 4), Pair(3, 4), Pair(4, 4)));
}

TEST_F(EvaluateTest, ALossThatIsNotFiniteNamesItsWindowOnEveryRank) {
  // Blocks add nothing. The first logit is 1e38 (a + b) for a normalized embedding (a, b, 0, ...):
  // 0 for every token but the last, whose logit overflows.
  config_["num_hidden_layers"] = 1;
  std::vector<TensorSource> tensors = tiny_tensors(config_);
  for (TensorSource& tensor : tensors) {
    const bool is_norm = tensor.name.find("norm") != std::string::npos;
    std::vector<float> values(tensor.bytes() / 4, is_norm ? 1.0F : 0.0F);
    if (tensor.name == "lm_head.weight") values[0] = values[1] = 1e38F;
    if (tensor.name == "model.embed_tokens.weight") {
      for (int64_t id = 0; id < vocab; ++id) {
        values[id * 12] = 1;
        values[id * 12 + 1] = id + 1 < vocab ? -1.0F : 1.0F;
      }
    }
    tensor.produce = [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); };
  }
  test::write_model(*files_, folder_.path(), config_, tensors);
  const SourceModel model(*files_, folder_.path());
  Windows windows{.count = 3, .seq_len = 4, .ids = std::vector<int32_t>(12, 1)};
  windows.ids[8] = 30;

  std::mutex mutex;
  std::vector<std::string> messages;
  run_ranks(2, [&](Communicator& comm) {
    at::set_num_threads(1);
    StreamBudget budget(*files_, plenty, folder_.path() + "/streams");
    ThreadPool pool(1);
    try {
      evaluate(model, nullptr, windows, budget, comm, *cpu_device(pool), {});
    } catch (const NumericError& error) {
      const std::lock_guard lock(mutex);
      messages.emplace_back(error.what());
    }
  });
  EXPECT_THAT(messages, ElementsAre(HasSubstr("window 2"), HasSubstr("window 2")));
}

// Finite weights whose logits overflow: a divergence from NaN is not 0.
TEST_F(EvaluateTest, AReferenceThatOverflowsIsRefused) {
  std::vector<TensorSource> tensors = tiny_tensors(config_, 2);
  tensors.back().produce = [](const ByteSink& sink) {  // lm_head
    const std::vector<float> values(vocab * 12, 3e38F);
    sink(std::as_bytes(std::span(values)));
  };
  test::write_model(*files_, folder_.path() + "/big", config_, tensors);
  const SourceModel big(*files_, folder_.path() + "/big"), model = make_model("m", 1);
  EXPECT_THROW(evaluate_alone(model, &big, random_windows(2, 5)), NumericError);
}

TEST_F(EvaluateTest, WindowsWithoutAPredictionAreRefused) {
  const SourceModel model = make_model("m", 1);
  EXPECT_THROW(evaluate_alone(model, nullptr, random_windows(0, 8)), UsageError);
  EXPECT_THROW(evaluate_alone(model, nullptr, random_windows(2, 1)), UsageError);
}

TEST_F(EvaluateTest, AReferenceWithAnotherVocabularyIsRefused) {
  const SourceModel model = make_model("m", 1);
  config_["vocab_size"] = 32;
  const SourceModel reference = make_model("reference", 1);
  EXPECT_THROW(evaluate_alone(model, &reference, random_windows(1, 4)), UsageError);
}

}  // namespace
}  // namespace bitmill
