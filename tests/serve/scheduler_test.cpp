#include "serve/scheduler.hpp"

#include <gtest/gtest.h>

#include "serve/served_texts.hpp"

namespace bitmill {
namespace {

using test::RememberedText;

TextTask long_task(int64_t max_tokens) {
  return {.prompt = {5, 300, 17}, .settings = {.max_tokens = max_tokens}};
}

class SchedulerTest : public testing::Test {
 protected:
  // One request with so many texts, all of them remembered.
  Scheduler::Answer submit(Scheduler& scheduler, int count, int64_t max_tokens) {
    std::vector<ScheduledText> texts;
    for (int i = 0; i < count; ++i) {
      texts_.push_back(std::make_shared<RememberedText>());
      texts.push_back({long_task(max_tokens), texts_.back()});
    }
    return scheduler.submit(std::move(texts));
  }

  test::SmallModels models_;
  const ResidentModel model_{*models_.files, models_.source, test::fast_path(Activations::int8),
                             models_.pool};
  std::vector<std::shared_ptr<RememberedText>> texts_;
};

TEST_F(SchedulerTest, RequestsWithMoreTextsThanPlacesComeToTheirEnd) {
  TextBatch batch(model_, *models_.tokenizer, 2, 100);
  Scheduler scheduler(batch, models_.pool, 8);
  EXPECT_EQ(submit(scheduler, 5, 12), Scheduler::Answer::taken);
  EXPECT_EQ(submit(scheduler, 1, 12), Scheduler::Answer::taken);
  const auto first = texts_[0]->wait_for_end();
  EXPECT_EQ(first.tokens, 12);
  for (const auto& text : texts_) EXPECT_EQ(text->wait_for_end().text, first.text);
  scheduler.cut();
  EXPECT_TRUE(scheduler.is_idle());
  const auto figures = scheduler.figures();
  EXPECT_EQ(figures.requests, 2U);
  EXPECT_EQ(figures.prompt_tokens, 18U);
  EXPECT_EQ(figures.new_tokens, 72U);
}

TEST_F(SchedulerTest, BeyondTheQueueRequestsAreRefusedAndThoseInItAreNot) {
  TextBatch batch(model_, *models_.tokenizer, 1, 512);
  Scheduler scheduler(batch, models_.pool, 2);
  submit(scheduler, 1, 500);
  texts_[0]->wait_for_text();
  EXPECT_EQ(submit(scheduler, 1, 3), Scheduler::Answer::taken);
  EXPECT_EQ(submit(scheduler, 1, 3), Scheduler::Answer::taken);
  EXPECT_EQ(submit(scheduler, 1, 3), Scheduler::Answer::full);
  EXPECT_EQ(scheduler.figures().refused, 1U);
  texts_[0]->stop_wanting();
  EXPECT_EQ(texts_[1]->wait_for_end().tokens, 3);
  EXPECT_EQ(texts_[2]->wait_for_end().tokens, 3);
  EXPECT_FALSE(texts_[0]->now().has_ended());
}

// They wait for the next step alone.
TEST_F(SchedulerTest, WhereThereAreFreePlacesNobodyIsRefused) {
  TextBatch batch(model_, *models_.tokenizer, 3, 512);
  Scheduler scheduler(batch, models_.pool, 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(submit(scheduler, 1, 500), Scheduler::Answer::taken);
  for (const auto& text : texts_) text->wait_for_text();
  EXPECT_EQ(submit(scheduler, 1, 500), Scheduler::Answer::full);
}

TEST_F(SchedulerTest, ARequestWithManyTextsLetsOthersIn) {
  TextBatch batch(model_, *models_.tokenizer, 1, 512);
  Scheduler scheduler(batch, models_.pool, 8);
  submit(scheduler, 3, 250);
  submit(scheduler, 1, 2);
  texts_[3]->wait_for_end();
  EXPECT_FALSE(texts_[2]->now().has_ended());
}

TEST_F(SchedulerTest, WhenItStopsWhatRunsGoesOnAndWhatWaitsIsToldSo) {
  TextBatch batch(model_, *models_.tokenizer, 1, 500);
  Scheduler scheduler(batch, models_.pool, 8);
  submit(scheduler, 1, 400);
  texts_[0]->wait_for_text();
  submit(scheduler, 2, 3);
  scheduler.stop_taking();
  EXPECT_EQ(submit(scheduler, 1, 3), Scheduler::Answer::stopping);
  EXPECT_EQ(texts_[1]->wait_for_end().failure->status(), 503);
  EXPECT_EQ(texts_[2]->wait_for_end().failure->status(), 503);
  EXPECT_EQ(texts_[0]->wait_for_end().tokens, 400);
}

TEST_F(SchedulerTest, ACutEndsWhatRuns) {
  TextBatch batch(model_, *models_.tokenizer, 1, 512);
  Scheduler scheduler(batch, models_.pool, 8);
  submit(scheduler, 1, 500);
  texts_[0]->wait_for_text();
  scheduler.cut();
  EXPECT_EQ(texts_[0]->now().failure->status(), 503);
  EXPECT_EQ(batch.size(), 0);
}

}  // namespace
}  // namespace bitmill
