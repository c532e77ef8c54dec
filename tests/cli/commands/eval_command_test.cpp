// eval with tasks and with the products of generate, as a user runs it.

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/token_text.hpp"
#include "data/windows.hpp"
#include "infer/infer_models.hpp"
#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string eval_model = BITMILL_SOURCE_DIR "/tests/data/books-2M";
const std::string eval_text = BITMILL_SOURCE_DIR "/tests/data/books/eval.txt";
const std::string eval_tasks = BITMILL_SOURCE_DIR "/tests/golden/tasks/";

class EvalProgram : public ::testing::Test {
 protected:
  ProgramRun run(const std::string& words) const { return run_program_in(folder_, "", words); }
  json figures(const std::string& words) const {
    const ProgramRun result = run("eval --json --model " + words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? json::parse(result.out) : json::object();
  }
  void expect_refusal(const std::string& words, const std::string& why, int code = 2) const {
    const ProgramRun result = run("eval " + words);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, StartsWith("bitmill: error: "));
    EXPECT_THAT(result.err, HasSubstr(why));
    EXPECT_EQ(result.out, "");
  }
  // A packed folder in the shape of books-2M, with its tokenizer.
  std::string packed_model() const {
    const auto files = posix_files();
    const std::string folder = folder_ / "packed";
    std::filesystem::create_directory(folder);
    std::filesystem::copy(eval_model + "/tokenizer.json", folder + "/tokenizer.json");
    test::write_packed_like(*files, SourceModel(*files, eval_model), folder);  // and seals it
    return folder;
  }
  // The perplexity of the text's first windows of 32, as generate's model has it.
  double resident_perplexity(const std::string& folder, Activations activations) const {
    const auto files = posix_files();
    ThreadPool pool(1);
    const SourceModel source(*files, folder);
    const ResidentModel model(*files, source, test::fast_path(activations), pool);
    const Tokens tokens = read_tokens(*files, eval_text, eval_model, 2048);
    const Windows windows = evaluation_windows(tokens, 32, 3);
    double sum = 0;
    for (int64_t i = 0; i < windows.count; ++i) {
      Session session(model.config(), 32);
      const auto ids = windows.window(i);
      const at::Tensor log_p =
          at::log_softmax(model.logits(model.forward(session, ids, pool), pool), -1);
      for (int64_t t = 0; t + 1 < 32; ++t) sum -= log_p[t][ids[t + 1]].item<double>();
    }
    return std::exp(sum / (3 * 31));
  }
  TempFolder folder_;
};

TEST_F(EvalProgram, TasksComeAloneOrBesideThePerplexity) {
  const std::string tasks =
      " --max-items 5 --tasks " + eval_tasks + "choices.jsonl," + eval_tasks + "continuation.jsonl";
  const json alone = figures(eval_model + tasks);
  EXPECT_FALSE(alone.contains("perplexity"));
  ASSERT_EQ(alone.at("tasks").size(), 2u);
  const json& choices = alone.at("tasks").at(0);
  EXPECT_EQ(choices.at("task"), "choices");
  EXPECT_EQ(choices.at("items"), 5);
  EXPECT_TRUE(choices.at("acc_norm_stderr").is_number());
  EXPECT_FALSE(choices.contains("perplexity"));
  EXPECT_TRUE(alone.at("tasks").at(1).contains("perplexity_stderr"));
  const json both =
      figures(eval_model + tasks + " --seq-len 32 --max-windows 3 --corpus " + eval_text);
  EXPECT_EQ(both.at("windows"), 3);
  EXPECT_EQ(both.at("tasks"), alone.at("tasks"));
}

TEST_F(EvalProgram, PeopleGetATable) {
  const ProgramRun result =
      run("eval --model " + eval_model + " --max-items 4 --tasks " + eval_tasks + "contexts.jsonl");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"task", "acc_norm", "contexts", "±"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
}

TEST_F(EvalProgram, TextsThatAreCutAreCountedAloud) {
  const ProgramRun result =
      run("eval --model " + eval_model + " --tasks " + eval_tasks + "continuation.jsonl");
  EXPECT_THAT(result.err, HasSubstr("1 of 27 texts are longer than the 512 tokens"));
}

TEST_F(EvalProgram, WithActivationsTheNumbersAreThoseOfGenerate) {
  const std::string packed = packed_model();
  const std::string words = packed + " --seq-len 32 --max-windows 3 --corpus " + eval_text;
  std::map<std::string, double> found;
  for (const auto& [name, activations] :
       {std::pair{"int8", Activations::int8}, std::pair{"int16", Activations::int16},
        std::pair{"float32", Activations::float32}}) {
    const json result = figures(words + " --threads 3 --activations " + name);
    EXPECT_EQ(result.at("activations"), name);
    EXPECT_EQ(result.at("kernel"), choose_cpu_kernel("auto").name);
    found[name] = result.at("perplexity");
    const double expected = resident_perplexity(packed, activations);
    EXPECT_NEAR(found[name], expected, 1e-6 * expected) << name;
  }
  const json plain = figures(words);
  EXPECT_FALSE(plain.contains("kernel"));
  EXPECT_NEAR(found["float32"], plain.at("perplexity").get<double>(), 1e-4 * found["float32"]);
  EXPECT_NE(found["int8"], found["float32"]);
  EXPECT_LT(std::abs(found["int16"] / found["float32"] - 1),
            std::abs(found["int8"] / found["float32"] - 1));
}

TEST_F(EvalProgram, TasksAreScoredWithActivationsToo) {
  const std::string words = packed_model() + " --tasks " + eval_tasks + "continuation.jsonl";
  const auto perplexity = [](const json& result) {
    return result.at("tasks").at(0).at("perplexity").get<double>();
  };
  const double plain = perplexity(figures(words));
  const double rounded = perplexity(figures(words + " --activations int8 --threads 1"));
  EXPECT_NE(rounded, plain);
  EXPECT_EQ(rounded, perplexity(figures(words + " --activations int8 --threads 3")));
}

TEST_F(EvalProgram, OptionsThatHaveNoEffectAreRefused) {
  const std::string model = "--model " + eval_model + " ";
  const std::string task = model + "--tasks " + eval_tasks + "contexts.jsonl ";
  expect_refusal(model, "needs --corpus FILE, --tasks FILE,... or both");
  expect_refusal(task + "--max-windows 3", "--max-windows has no effect without --corpus");
  expect_refusal(task + "--reference x", "--reference has no effect without --corpus");
  expect_refusal(model + "--corpus " + eval_text + " --max-items 3",
                 "--max-items has no effect without --tasks");
  expect_refusal(task + "--task-cue x", "--task-cue has no effect");
  expect_refusal(task + "--task-cue 'a\\q'", "after a backslash only n, t");
  expect_refusal(model + "--tasks a.jsonl,,b.jsonl", "names of files with commas");
  expect_refusal(task + "--activations int8", "--activations int8 has no effect");
  expect_refusal(task + "--activations int4", "--activations");
}

TEST_F(EvalProgram, ABrokenTaskFileIsNamedWithItsLine) {
  folder_.write("t.jsonl", "{\"context\": \"a\", \"continuation\": \"b\"}\n{\"context\": \"a\"}\n");
  expect_refusal("--model " + eval_model + " --tasks " + folder_ / "t.jsonl", "t.jsonl, line 2", 1);
  expect_refusal("--model " + eval_model + " --tasks " + folder_ / "no.jsonl", "no.jsonl", 1);
}

}  // namespace
}  // namespace bitmill
