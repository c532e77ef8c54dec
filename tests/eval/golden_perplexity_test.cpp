// Perplexities against those of the transformers library on the same windows:
// tests/golden/models/make_golden.py.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/files.hpp"
#include "base/json.hpp"
#include "comm/self_communicator.hpp"
#include "data/token_text.hpp"
#include "data/windows.hpp"
#include "eval/evaluate.hpp"

namespace bitmill {
namespace {

const std::string source_folder = BITMILL_SOURCE_DIR;

void expect_golden_perplexity(const std::string& name, const std::string& model_folder,
                              const std::string& corpus) {
  const auto files = posix_files();
  const std::string path = source_folder + "/tests/golden/models/perplexity.json";
  const nlohmann::json golden = parse_json(read_text(*files, path), path).at(name);

  const SourceModel model(*files, model_folder);
  const Tokens tokens = read_tokens(*files, corpus, model_folder, model.config().vocab_size);
  const Windows windows = evaluation_windows(tokens, golden.at("seq_len").get<int64_t>(), 0);
  ASSERT_EQ(windows.count, golden.at("windows").get<int64_t>());

  StreamBudget budget(*files, int64_t{1} << 30, "");
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const Evaluation result =
      evaluate(model, nullptr, windows, budget, *self_communicator(), *cpu_device(pool), {});
  const double expected = golden.at("perplexity").get<double>();
  EXPECT_NEAR(result.perplexity, expected, 1e-3 * expected);
}

TEST(GoldenPerplexity, Books2M) {
  expect_golden_perplexity("books-2M", source_folder + "/tests/data/books-2M",
                           source_folder + "/tests/data/books/eval.txt");
}

TEST(GoldenPerplexity, Stories260K) {
  const std::string shared = source_folder + "/../shared/";
  if (!posix_files()->is_directory(shared + "models/stories260K")) {
    GTEST_SKIP() << shared << " is not here";
  }
  expect_golden_perplexity("stories260K", shared + "models/stories260K",
                           shared + "oracle/stories260K/eval.safetensors");
}

}  // namespace
}  // namespace bitmill
