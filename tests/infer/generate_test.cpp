#include "infer/generate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "infer/infer_models.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using test::fast_path;
using testing::HasSubstr;

const std::string books_folder = BITMILL_SOURCE_DIR "/tests/data/books-2M";

class GenerateTest : public testing::Test {
 protected:
  Generated run(const ResidentModel& model, std::span<const int32_t> prompt,
                const GenerateSettings& settings, int64_t positions = 300) {
    Session session(model.config(), positions);
    heard_.clear();
    return generate(
        model, session, *tokenizer_, prompt, settings,
        [&](std::string_view text) { heard_.push_back(std::string(text)); }, pool_);
  }
  std::string heard() const {
    std::string text;
    for (const std::string& part : heard_) text += part;
    return text;
  }

  const std::unique_ptr<Files> files_ = posix_files();
  ThreadPool pool_{1};
  const SourceModel source_{*files_, books_folder};
  const std::unique_ptr<Tokenizer> tokenizer_ = open_tokenizer(*files_, books_folder);
  const ResidentModel model_{*files_, source_, fast_path(Activations::int8), pool_};
  std::vector<std::string> heard_;
};

// Up to the first place where two tokens are almost equally likely: from there on last bits decide.
TEST_F(GenerateTest, GreedyTextsAreThoseOfTransformers) {
  const auto golden = nlohmann::json::parse(
      read_text(*files_, BITMILL_SOURCE_DIR "/tests/golden/infer/greedy.json"));
  for (const auto& golden_case : golden.at("cases")) {
    const auto prompt = golden_case.at("prompt_ids").get<std::vector<int32_t>>();
    const auto expected = golden_case.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_->encode(golden_case.at("prompt").get<std::string>(), true), prompt);
    const Generated generated = run(model_, prompt, {.max_tokens = std::ssize(expected)});
    EXPECT_EQ(generated.ids, expected);
    EXPECT_EQ(generated.text, golden_case.at("text"));
    EXPECT_EQ(heard(), generated.text);
    EXPECT_EQ(generated.finish, Finish::max_tokens);
  }
}

// Logits of the whole text at once, every time: no cache that could go wrong.
std::vector<int32_t> greedy_without_cache(const ResidentModel& model, std::vector<int32_t> ids,
                                          int64_t count, ThreadPool& pool) {
  std::vector<int32_t> all;
  Sampler sampler({}, {}, model.config().vocab_size);
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor logits = test::cut_logits(model, ids, {}, pool);
    const at::Tensor last = logits[logits.size(0) - 1];
    ids.push_back(sampler.pick({last.const_data_ptr<float>(), static_cast<size_t>(last.size(0))}));
    all.push_back(ids.back());
  }
  return all;
}

TEST_F(GenerateTest, APackedModelWritesTheSameWithAndWithoutCacheAndOnAnyThreads) {
  const TempFolder folder;
  test::write_packed_like(*files_, source_, folder / "packed");
  const SourceModel packed(*files_, folder / "packed");
  ThreadPool three(3, [] { at::set_num_threads(1); });
  const std::vector<int32_t> prompt = {5, 300, 17, 1999, 4};
  for (const Activations activations :
       {Activations::int8, Activations::int16, Activations::float32}) {
    const ResidentModel model(*files_, packed, fast_path(activations), pool_);
    const Generated generated = run(model, prompt, {.max_tokens = 40});
    EXPECT_EQ(generated.ids, greedy_without_cache(model, prompt, 40, three));
  }
}

TEST_F(GenerateTest, APromptOfSeveralPassesIsContinuedWhereItEnds) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < tokens_per_pass + 40; ++i) prompt.push_back((i * i + 7 * i) % 2000);
  const Generated generated = run(model_, prompt, {.max_tokens = 3}, 400);
  EXPECT_EQ(generated.prompt_tokens, std::ssize(prompt));
  EXPECT_EQ(generated.ids, greedy_without_cache(model_, prompt, 3, pool_));
}

TEST_F(GenerateTest, ASampledTextIsThatOfItsSeedOnAnyThreads) {
  const std::vector<int32_t> prompt = {5, 300, 17};
  GenerateSettings settings{.max_tokens = 60, .sampler = {.temperature = 1, .seed = 4}};
  const Generated first = run(model_, prompt, settings);
  Session session(model_.config(), 300);
  ThreadPool three(3, [] { at::set_num_threads(1); });
  EXPECT_EQ(generate(model_, session, *tokenizer_, prompt, settings, {}, three).ids, first.ids);
  settings.sampler.seed = 5;
  EXPECT_NE(run(model_, prompt, settings).ids, first.ids);
}

TEST_F(GenerateTest, AnEndTokenEndsTheTextAndIsNotShown) {
  const auto prompt = tokenizer_->encode("It was a", true);
  const Generated whole = run(model_, prompt, {.max_tokens = 12});
  const int32_t end = whole.ids[7];
  const auto place = std::ranges::find(whole.ids, end) - whole.ids.begin();
  const Generated ended = run(model_, prompt, {.max_tokens = 12, .end_tokens = {end}});
  EXPECT_EQ(ended.finish, Finish::end_token);
  EXPECT_EQ(std::ssize(ended.ids), place + 1);
  EXPECT_EQ(ended.ids.back(), end);
  EXPECT_TRUE(whole.text.starts_with(ended.text));
  EXPECT_LT(ended.text.size(), whole.text.size());
  EXPECT_EQ(ended.decode_tokens, place);
}

TEST_F(GenerateTest, AStopTextEndsTheTextBeforeIt) {
  const auto prompt = tokenizer_->encode("It was a", true);
  const Generated whole = run(model_, prompt, {.max_tokens = 20});
  const std::string stop = whole.text.substr(9, 5);
  const Generated stopped = run(model_, prompt, {.max_tokens = 20, .stop_texts = {stop}});
  EXPECT_EQ(stopped.finish, Finish::stop_text);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(stop)));
  EXPECT_EQ(heard(), stopped.text);
}

TEST_F(GenerateTest, AFullCacheEndsTheText) {
  const std::vector<int32_t> prompt = {5, 300, 17};
  const Generated generated = run(model_, prompt, {.max_tokens = 50}, 10);
  EXPECT_EQ(generated.finish, Finish::no_room);
  EXPECT_EQ(generated.ids.size(), 8u);  // the last one is not fed in again
  EXPECT_EQ(run(model_, prompt, {.max_tokens = 50}, 3).ids.size(), 1u);
}

std::string prompt_refusal(const ModelConfig& config, const std::vector<int32_t>& prompt,
                           int64_t positions) {
  try {
    check_prompt(config, "some/model", prompt, positions);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(CheckPrompt, NamesFiguresForWhatDoesNotFit) {
  ModelConfig config;
  config.vocab_size = 10;
  config.context = 4;
  EXPECT_EQ(prompt_refusal(config, {1, 2, 9, 0}, 4), "accepted");
  EXPECT_THAT(prompt_refusal(config, {}, 4), HasSubstr("no tokens"));
  EXPECT_THAT(prompt_refusal(config, {1, 10}, 4), HasSubstr("token 10"));
  EXPECT_THAT(prompt_refusal(config, {1, 10}, 4), HasSubstr("[0, 10)"));
  const std::string longer = prompt_refusal(config, {1, 1, 1, 1, 1, 1}, 4);
  EXPECT_THAT(longer, HasSubstr("6 tokens, which is more than the context of some/model, 4"));
  EXPECT_THAT(longer, HasSubstr("shorten it by 2 tokens"));
  EXPECT_THAT(prompt_refusal(config, {1, 1, 1}, 2), HasSubstr("--context 2; the model's context"));
}

}  // namespace
}  // namespace bitmill
