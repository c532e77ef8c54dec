// Scores of tasks against those of lm-evaluation-harness: tests/golden/tasks/make_tasks.py.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/files.hpp"
#include "base/json.hpp"
#include "comm/self_communicator.hpp"
#include "data/tokenizer.hpp"
#include "eval/task_scores.hpp"
#include "eval/task_texts.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const std::string task_folder = BITMILL_SOURCE_DIR "/tests/golden/tasks/";

void expect_scores(const TaskScore& score, const json& expected) {
  const auto expect = [&](const char* name, const TaskFigure& figure) {
    const double value = expected.at(name);
    EXPECT_NEAR(figure.value, value, 1e-3 * value) << name;
    // lm_eval draws the error of a perplexity by chance.
    if (std::string(name) == "perplexity") return;
    EXPECT_NEAR(figure.error, expected.at(std::string(name) + "_stderr").get<double>(), 1e-9)
        << name;
  };
  expect("acc", score.acc);
  EXPECT_EQ(score.acc_norm.has_value(), expected.contains("acc_norm"));
  if (score.acc_norm) expect("acc_norm", *score.acc_norm);
  EXPECT_EQ(score.perplexity.has_value(), expected.contains("perplexity"));
  if (score.perplexity) expect("perplexity", *score.perplexity);
}

class GoldenTasks {
 public:
  explicit GoldenTasks(const std::string& folder)
      : model_(*files_, folder), tokenizer_(open_tokenizer(*files_, folder)) {}

  void expect_golden(const std::string& name, const std::string& golden_name, const json& golden,
                     const std::string& cue = "") {
    SCOPED_TRACE(golden_name);
    const Task task = read_task(*files_, task_folder + name + ".jsonl", {cue, 0});
    const TaskTexts texts = tokenize_task(task, *tokenizer_,
                                          {.special = true,
                                           .longest = model_.config().context,
                                           .vocab_size = model_.config().vocab_size});
    EXPECT_EQ(texts.cut, name == "continuation" ? 1 : 0);
    StreamBudget budget(*files_, int64_t{1} << 30, "");
    ThreadPool pool(2, [] { at::set_num_threads(1); });
    const auto scores =
        score_texts(model_, texts.texts, budget, *self_communicator(), *cpu_device(pool), {});
    size_t at = 0;
    for (const json& item : golden.at(golden_name).at("pairs")) {
      for (const json& pair : item) {
        const double expected = pair.at(0);
        EXPECT_NEAR(scores.at(at).log_likelihood, expected, 2e-4 - 1e-5 * expected) << at;
        EXPECT_EQ(scores.at(at).greedy == 1, pair.at(1).get<bool>()) << at;
        ++at;
      }
    }
    EXPECT_EQ(at, scores.size());
    expect_scores(summarize_task(task, scores), golden.at(golden_name).at("scores"));
  }

 private:
  const std::unique_ptr<Files> files_ = posix_files();
  const SourceModel model_;
  const std::unique_ptr<Tokenizer> tokenizer_;
};

void expect_golden_tasks(const std::string& name, const std::string& folder) {
  const auto files = posix_files();
  const std::string path = task_folder + "scores.json";
  const json golden = parse_json(read_text(*files, path), path).at(name);
  GoldenTasks tasks(folder);
  tasks.expect_golden("choices", "choices", golden);
  tasks.expect_golden("choices", "cue", golden, "\nAnswer:");
  tasks.expect_golden("contexts", "contexts", golden);
  tasks.expect_golden("continuation", "continuation", golden);
}

TEST(GoldenTasksOf, Books2M) {
  expect_golden_tasks("books-2M", BITMILL_SOURCE_DIR "/tests/data/books-2M");
}

// Its tokenizer puts a BOS before a text.
TEST(GoldenTasksOf, Stories260K) {
  const std::string folder = BITMILL_SOURCE_DIR "/../shared/models/stories260K";
  if (!posix_files()->is_directory(folder)) GTEST_SKIP() << folder << " is not here";
  expect_golden_tasks("stories260K", folder);
}

}  // namespace
}  // namespace bitmill
