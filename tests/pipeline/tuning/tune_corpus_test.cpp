// Tuning on the windows of a corpus, portion by portion.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "data/token_file.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/tuning_text.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

class TuneCorpus : public Tune {
 protected:
  TuneCorpus() { write_corpus(0); }

  // 1,000 ids, 111 windows of 9, of much the same kind as the calibration.
  void write_corpus(int32_t shift) {
    Tokens tokens;
    for (int32_t i = 0; i < 1000; ++i) tokens.ids.push_back((i * 7 + i / 6 + i / 50 + shift) % 31);
    write_token_file(*files_, folder_ / "corpus.safetensors", tokens);
  }

  // Three portions of five steps; 10 windows are held out.
  TuneOptions on_corpus(const std::string& name) {
    TuneOptions o = tuning(name);
    o.corpus = {folder_ / "corpus.safetensors"};
    o.corpus_dir = folder_ / (name + ".corpus");
    o.samples = 40;
    o.train_windows = 60;
    o.portion = 20;
    o.epochs = 1;
    o.learn_signs = true;
    o.sign_rate = 0.01;
    return o;
  }
};

TEST_F(TuneCorpus, BytesAreTheSameForAnyRanksAndStagesAndTheIndexIsRemoved) {
  const TuneResult expected = tune_on(on_corpus("one"));
  EXPECT_EQ(expected.history.epochs(), 3);
  ASSERT_GT(expected.history.best(), 0);
  EXPECT_LT(divergence("one"), divergence("packed"));
  for (const Mesh& mesh : {Mesh{2, 1}, Mesh{1, 2}, Mesh{2, 2}}) {
    TuneOptions o = on_corpus(fmt::format("{}x{}", mesh.stages, mesh.replicas));
    o.stages = mesh.stages;
    const TuneResult result = tune_on(o, mesh.ranks(), mesh.stages);
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("one")) << o.output_dir;
    EXPECT_EQ(result.history.train_kl, expected.history.train_kl) << o.output_dir;
    EXPECT_TRUE(!files_->exists(o.corpus_dir) || files_->list(o.corpus_dir).empty());
  }
}

TEST_F(TuneCorpus, StoppedAnywhereItGoesOnOnAnotherMeshWithTheSameBytes) {
  const TuneResult whole = tune_on(on_corpus("whole"));
  const std::array meshes = {Mesh{1, 1}, Mesh{2, 1}, Mesh{1, 2}, Mesh{2, 2}};
  int stops = 0;
  for (int leave_at = 1; leave_at < 16; leave_at += 3) {
    TuneOptions o = on_corpus(fmt::format("at{}", leave_at));
    const Mesh first = meshes[leave_at % 4], second = meshes[(leave_at + 1) % 4];
    std::atomic<int> left = leave_at * first.ranks();
    control_.wishes.asked = [&left] { return left-- <= 0 ? "SIGTERM" : ""; };
    o.stages = first.stages;
    try {
      tune_on(o, first.ranks());
    } catch (const AgreedStop&) {
      ++stops;
    }
    control_.wishes.asked = [] { return ""; };
    o.stages = second.stages;
    const TuneResult result = tune_on(o, second.ranks());
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << leave_at;
    if (result.already_done) continue;
    EXPECT_EQ(result.history.train_kl, whole.history.train_kl) << leave_at;
  }
  EXPECT_GE(stops, 3);
}

// An epoch trains on windows that no other epoch has; those that are held out stay.
TEST_F(TuneCorpus, EveryPortionHasWindowsOfItsOwn) {
  Tokens tokens;  // without text that is held out, and without repetitions
  for (int32_t i = 0; i < 1000; ++i) tokens.ids.push_back((i * i / 7 + 3 * i) % 31);
  write_token_file(*files_, folder_ / "corpus.safetensors", tokens);
  const TuneOptions o = on_corpus("few");
  const CheckedTune checked = check_tune(o, *files_, 1, 1);
  EXPECT_EQ(checked.windows.count, 10);
  EXPECT_EQ(checked.forecast.epochs, 3);
  const auto comm = self_communicator();
  ThreadPool pool(2);
  const TuningText text(corpus_of(o, checked.forecast, checked.model.config()), checked.forecast,
                        checked.windows, *files_, *comm, RunControl());
  std::vector<int64_t> own;
  for (int64_t i = 0; i < 30; ++i) own.push_back(i);
  std::vector<std::vector<int32_t>> seen;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const Windows windows = text.windows(epoch, own, pool);
    ASSERT_EQ(windows.count, 30);
    for (int64_t i = 0; i < 20; ++i) {
      const auto window = windows.window(i);
      seen.emplace_back(window.begin(), window.end());
    }
    for (int64_t i = 0; i < 10; ++i) {
      EXPECT_TRUE(std::ranges::equal(windows.window(20 + i), checked.windows.window(i)));
    }
  }
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
}

TEST_F(TuneCorpus, ACorpusThatWasChangedBetweenTwoStartsIsRefused) {
  const TuneOptions o = on_corpus("r");
  stop_tuning(o, 4);
  write_corpus(1);
  files_->remove_tree(o.corpus_dir);  // as where each host has a scratch folder of its own
  EXPECT_THAT(tuning_message(o), HasSubstr("the text of --corpus"));
  TuneOptions other = o;
  other.portion = 30;
  EXPECT_THAT(tuning_message(other), HasSubstr("corpus"));
}

TEST_F(TuneCorpus, ABatchThatIsMoreThanAPortionIsRefused) {
  TuneOptions o = on_corpus("r");
  o.portion = 3;
  EXPECT_THAT(tuning_message(o), HasSubstr("--batch 4 is more than the windows of a portion"));
  o = on_corpus("r");
  o.corpus = {folder_ / "nothing"};
  EXPECT_THAT(tuning_message(o), HasSubstr("nothing"));
}

}  // namespace
}  // namespace bitmill
