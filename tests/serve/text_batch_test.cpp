#include "serve/text_batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "infer/generate.hpp"
#include "serve/served_texts.hpp"

namespace bitmill {
namespace {

using test::RememberedText;
using testing::HasSubstr;

std::vector<int32_t> ids_of(int64_t length, int32_t first) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < length; ++i) ids.push_back((first + 37 * i) % 1900 + 5);
  return ids;
}

TextTask task_of(std::vector<int32_t> prompt, int64_t max_tokens, double temperature,
                 uint64_t seed) {
  return {.prompt = std::move(prompt),
          .settings = {.max_tokens = max_tokens,
                       .sampler = {.temperature = temperature, .top_p = 0.95, .seed = seed}},
          .top_logprobs = 2};
}

// Texts of all kinds: short and long prompts, greedy and drawn, scored prompts.
std::vector<TextTask> mixed_tasks() {
  std::vector<TextTask> tasks = {
      task_of(ids_of(3, 1), 20, 0, 0),    task_of(ids_of(150, 9), 12, 1, 4),
      task_of(ids_of(1, 300), 30, 1, 7),  task_of(ids_of(290, 40), 5, 0, 0),
      task_of(ids_of(64, 500), 17, 1, 1), task_of(ids_of(33, 77), 9, 0.5, 2)};
  tasks[1].scores_prompt = tasks[5].scores_prompt = true;
  return tasks;
}

void run_to_end(TextBatch& batch, ThreadPool& pool) {
  while (batch.size() > 0) batch.step(pool);
}

void expect_same(const RememberedText::All& left, const RememberedText::All& right) {
  EXPECT_EQ(left.text, right.text);
  EXPECT_EQ(left.finish, right.finish);
  EXPECT_EQ(left.tokens, right.tokens);
  ASSERT_EQ(left.scores.size(), right.scores.size());
  for (size_t i = 0; i < left.scores.size(); ++i) {
    EXPECT_EQ(left.scores[i].id, right.scores[i].id);
    EXPECT_EQ(left.scores[i].logprob, right.scores[i].logprob) << "token " << i;  // every bit
    ASSERT_EQ(left.scores[i].likely.size(), right.scores[i].likely.size());
    for (size_t j = 0; j < left.scores[i].likely.size(); ++j) {
      EXPECT_EQ(left.scores[i].likely[j].id, right.scores[i].likely[j].id);
      EXPECT_EQ(left.scores[i].likely[j].logprob, right.scores[i].likely[j].logprob);
    }
  }
}

class TextBatchTest : public testing::Test {
 protected:
  RememberedText::All alone(const ResidentModel& model, TextTask task) {
    TextBatch batch(model, *models_.tokenizer, 1, 300);
    const auto text = std::make_shared<RememberedText>();
    batch.join(std::move(task), text);
    run_to_end(batch, models_.pool);
    return text->now();
  }

  test::SmallModels models_;
};

// The heart of the server: every bit of every score, for two models, in any company, whoever joins
// when, on any threads.
TEST_F(TextBatchTest, ATextIsTheSameAloneAndInAnyCompanyOnAnyThreads) {
  ThreadPool three(3, [] { at::set_num_threads(1); });
  const SourceModel packed(*models_.files, models_.packed_folder());
  for (const SourceModel* source : {&models_.source, &packed}) {
    const ResidentModel model(*models_.files, *source, test::fast_path(Activations::int8),
                              models_.pool);
    std::vector<RememberedText::All> expected;
    for (const TextTask& task : mixed_tasks()) expected.push_back(alone(model, task));
    for (const int64_t places : {2, 4, 6}) {
      TextBatch batch(model, *models_.tokenizer, places, 300);
      std::vector<TextTask> tasks = mixed_tasks();
      std::vector<std::shared_ptr<RememberedText>> texts;
      while (texts.size() < tasks.size() || batch.size() > 0) {
        // They join one by one, some steps after each other.
        if (texts.size() < tasks.size() && !batch.is_full()) {
          texts.push_back(std::make_shared<RememberedText>());
          batch.join(tasks[texts.size() - 1], texts.back());
        }
        batch.step(three);
      }
      for (size_t i = 0; i < texts.size(); ++i) expect_same(texts[i]->now(), expected[i]);
    }
  }
}

TEST_F(TextBatchTest, ATextIsWhatGenerateWrites) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  for (TextTask task : mixed_tasks()) {
    task.settings.stop_texts = {"the"};
    Session session(model.config(), 300);
    const Generated generated =
        generate(model, session, *models_.tokenizer, task.prompt, task.settings, {}, models_.pool);
    const auto all = alone(model, task);
    EXPECT_EQ(all.text, generated.text);
    EXPECT_EQ(all.finish, generated.finish);
    EXPECT_EQ(all.tokens, std::ssize(generated.ids));
  }
}

TEST_F(TextBatchTest, ScoresOfAPromptAreItsLogProbabilities) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  TextTask task = task_of(ids_of(40, 3), 1, 0, 0);
  task.scores_prompt = true;
  const auto all = alone(model, task);
  ASSERT_EQ(all.scores.size(), 41U);  // the prompt, and the token that was written
  EXPECT_FALSE(all.scores[0].known);
  EXPECT_EQ(all.scores[0].id, task.prompt[0]);
  const at::Tensor expected =
      test::cut_logits(model, task.prompt, {}, models_.pool).to(at::kDouble).log_softmax(1);
  for (size_t i = 1; i < 40; ++i) {
    EXPECT_EQ(all.scores[i].id, task.prompt[i]);
    EXPECT_NEAR(all.scores[i].logprob, expected[i - 1][task.prompt[i]].item<double>(), 1e-12);
    const double largest = expected[i - 1].max().item<double>();
    EXPECT_NEAR(all.scores[i].likely.at(0).logprob, largest, 1e-12);
    EXPECT_GE(all.scores[i].likely[0].logprob, all.scores[i].likely.at(1).logprob);
  }
  // Greedy: what was written is the most likely, and has the very same figure in both places.
  EXPECT_EQ(all.scores[40].id, all.scores[40].likely[0].id);
  EXPECT_EQ(all.scores[40].logprob, all.scores[40].likely[0].logprob);
}

TEST_F(TextBatchTest, APromptThatIsOnlyScoredWritesNothing) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  TextTask task = task_of(ids_of(300, 3), 0, 0, 0);
  task.scores_prompt = true;
  const auto all = alone(model, task);
  EXPECT_EQ(all.text, "");
  EXPECT_EQ(all.tokens, 0);
  EXPECT_EQ(all.finish, Finish::max_tokens);
  EXPECT_EQ(all.scores.size(), 300U);
}

TEST_F(TextBatchTest, ATextThatNobodyWantsLeavesItsPlaceAtTheNextStep) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  TextBatch batch(model, *models_.tokenizer, 1, 300);
  const auto text = std::make_shared<RememberedText>();
  batch.join(task_of(ids_of(3, 1), 200, 0, 0), text);
  batch.step(models_.pool);
  EXPECT_TRUE(batch.is_full());
  text->stop_wanting();
  batch.step(models_.pool);
  EXPECT_EQ(batch.size(), 0);
  EXPECT_FALSE(text->now().has_ended());  // nobody is told
  EXPECT_EQ(text.use_count(), 1);         // nothing is kept
}

TEST_F(TextBatchTest, ATextWithoutRoomEndsWhereItsPlaceIsFull) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  TextBatch batch(model, *models_.tokenizer, 1, 10);
  const auto text = std::make_shared<RememberedText>();
  batch.join(task_of(ids_of(4, 1), 200, 0, 0), text);
  run_to_end(batch, models_.pool);
  EXPECT_EQ(text->now().finish, Finish::no_room);
  EXPECT_EQ(text->now().tokens, 7);  // the last one is not fed in
}

// As when there is no memory for the text.
class FailingListener final : public TextListening {
 public:
  bool still_wanted() const override { return true; }
  void on_text(std::string, std::vector<TokenScore>) override {
    throw std::runtime_error("no memory");
  }
  void on_end(Finish, int64_t) override {}
  void on_failure(const RequestError& why) override { words = why.what(); }

  std::string words;
};

TEST_F(TextBatchTest, AListenerThatFailsEndsItsTextAlone) {
  const ResidentModel model(*models_.files, models_.source, test::fast_path(Activations::int8),
                            models_.pool);
  TextBatch batch(model, *models_.tokenizer, 2, 300);
  const auto bad = std::make_shared<FailingListener>();
  const auto good = std::make_shared<RememberedText>();
  const TextTask task = task_of({11, 12, 13}, 20, 0, 0);
  batch.join(task, bad);
  batch.join(task, good);
  run_to_end(batch, models_.pool);
  EXPECT_EQ(bad->words, "no memory");
  expect_same(good->now(), alone(model, task));
}

// A damaged row of the embedding harms the text that uses it, and no other.
TEST_F(TextBatchTest, WhatGoesWrongWithOneTextEndsThatTextAlone) {
  constexpr int64_t damaged_row = 7;
  const TempFolder folder;
  const TensorFolder& stored = models_.source.tensors();
  std::vector<TensorSource> tensors;
  for (const std::string& name : stored.names()) tensors.push_back(test::copied(stored, name));
  const auto embedding = std::ranges::find_if(
      tensors, [](const auto& tensor) { return tensor.name.ends_with("embed_tokens.weight"); });
  ASSERT_NE(embedding, tensors.end());
  TensorSource head = *embedding;  // untied: it stays whole
  head.name = "lm_head.weight";
  embedding->produce = [&, name = embedding->name](const ByteSink& sink) {
    std::vector<std::byte> bytes(stored.info(name).bytes);
    stored.read(name, bytes);
    const int64_t row_bytes = std::ssize(bytes) / models_.source.config().vocab_size;
    std::fill_n(bytes.begin() + damaged_row * row_bytes, row_bytes, std::byte{0xff});  // NaN
    sink(bytes);
  };
  tensors.push_back(head);
  write_shards(*models_.files, folder.path(), tensors, {{"format", "pt"}}, 1 << 30);
  nlohmann::json config = read_config_json(*models_.files, test::SmallModels::folder);
  config["tie_word_embeddings"] = false;
  folder.write("config.json", config.dump());
  const SourceModel damaged(*models_.files, folder.path());
  const ResidentModel model(*models_.files, damaged, test::fast_path(Activations::int8),
                            models_.pool);
  TextBatch batch(model, *models_.tokenizer, 2, 300);
  const auto good = std::make_shared<RememberedText>(), bad = std::make_shared<RememberedText>();
  const TextTask task = task_of({11, 12, 13}, 20, 0, 0);
  batch.join(task, good);
  batch.step(models_.pool);
  batch.join(task_of({11, damaged_row, 12}, 20, 0, 0), bad);
  run_to_end(batch, models_.pool);
  ASSERT_TRUE(bad->now().failure);
  EXPECT_EQ(bad->now().failure->status(), 500);
  EXPECT_THAT(bad->now().failure->what(), HasSubstr("damaged"));
  expect_same(good->now(), alone(model, task));
}

}  // namespace
}  // namespace bitmill
