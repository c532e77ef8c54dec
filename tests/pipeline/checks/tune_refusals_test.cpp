// What cannot be tuned is refused before anything is begun, with what is wrong and what to do.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "pipeline/checks/tune_check.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/pretended_files.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST_F(Tune, ADiskThatIsTooSmallIsNamedBeforehand) {
  PretendedFiles files;
  TuneOptions o = tuning("r");
  o.stream_memory = 1000;
  const TuneForecast forecast = check_tune(o, files, 2, 1).forecast;
  EXPECT_GT(forecast.scratch_bytes, 0);
  const int64_t needed = forecast.packed_bytes + forecast.state_bytes + 2 * forecast.scratch_bytes;
  files.free = needed;
  check_tune(o, files, 2, 1);
  files.free = needed - 1;
  try {
    check_tune(o, files, 2, 1);
    ADD_FAILURE() << "a full disk was accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("{} bytes", needed)));
  }
}

TEST_F(Tune, EverythingThatIsWrongIsSaidAtOnce) {
  TuneOptions o = tuning("tuned");
  o.epochs = 0;
  o.reference = folder_ / "packed";
  o.calib = folder_ / "missing.txt";
  folder_.write("tuned/notes.txt", "not ours");
  const std::string said = tuning_message(o);
  EXPECT_THAT(said, testing::Not(HasSubstr("another configuration")));
  EXPECT_THAT(
      said, testing::AllOf(HasSubstr("4 problems; nothing was begun"), HasSubstr("--epochs"),
                           HasSubstr("is packed: give the 16-bit model"), HasSubstr("missing.txt"),
                           HasSubstr("tuned")));
}

class RefusedTune : public Tune {
 protected:
  void expect_refusal(const std::function<void(TuneOptions&)>& change, const std::string& words,
                      int ranks = 1) {
    TuneOptions o = tuning("r");
    change(o);
    EXPECT_THAT(tuning_message(o, ranks), HasSubstr(words));
    EXPECT_FALSE(files_->exists(folder_ / "r"));
    EXPECT_FALSE(files_->exists(folder_ / "r.work"));
  }
  void expect_other_reference(const nlohmann::json& config, const std::string& words) {
    test::write_model(*files_, folder_ / "other", config, test::tiny_tensors(config));
    expect_refusal([&](TuneOptions& o) { o.reference = folder_ / "other"; }, words);
  }
  std::string write_calibration(const Tokens& tokens) {
    const std::string path = folder_ / "own.safetensors";
    write_token_file(*files_, path, tokens);
    return path;
  }
};

TEST_F(RefusedTune, ModelsThatAreNotWhatTheyShouldBe) {
  expect_refusal([&](TuneOptions& o) { o.model = o.reference; }, "is not packed");
  expect_refusal([&](TuneOptions& o) { o.reference = o.model; }, "is packed");
  std::filesystem::copy(folder_ / "packed", folder_ / "cut");
  folder_.write("cut/model.safetensors", bytes("packed").substr(0, bytes("packed").size() / 2));
  expect_refusal([&](TuneOptions& o) { o.model = folder_ / "cut"; }, "is truncated");
}

TEST_F(RefusedTune, AReferenceThatComputesSomethingElse) {
  auto other = config_;
  other["intermediate_size"] = 24;
  expect_other_reference(other, "the intermediate size is 24 there and 20 here");
  other = config_;
  other["rope_theta"] = 500000.0;
  other["rms_norm_eps"] = 1e-6;
  expect_other_reference(other, "rope_theta is 500000 there and 10000 here");
  expect_other_reference(other, "the epsilon of the norms is 1e-06 there and 1e-05 here");
}

TEST_F(RefusedTune, TooFewWindowsAndTokens) {
  Tokens text, one_row;
  text.ids.assign(20, 1);
  one_row.ids.assign(9, 1);
  one_row.windows = 1;
  one_row.window_len = 9;
  expect_refusal(
      [&](TuneOptions& o) {
        o.seq_len = 11;
        o.calib = write_calibration(text);
      },
      "a text of 20 tokens is too short for two windows of 11");
  expect_refusal(
      [&](TuneOptions& o) {
        o.samples_by_hand = false;
        o.calib = write_calibration(one_row);
      },
      "has 1 window, and at least 2 are needed");
  expect_refusal([&](TuneOptions& o) { o.samples = 1; }, "--samples is 1");
}

TEST_F(RefusedTune, ABatchBeyondTheWindowsThatAreTrainedOn) {
  expect_refusal([&](TuneOptions& o) { o.batch = 11; }, "--batch 11 is more than the 10 windows");
  expect_refusal(
      [&](TuneOptions& o) {
        o.held_out = {9, 10};
      },
      "11 of 13 are held out (--held-out 0.9); lower --held-out or --batch");
  expect_refusal([&](TuneOptions& o) { o.batch = 13; }, "3 of 13 are held out; lower --batch,");
}

TEST_F(RefusedTune, SettingsOutOfRange) {
  expect_refusal([&](TuneOptions& o) { o.held_out = {0, 1}; }, "--held-out is 0");
  expect_refusal([&](TuneOptions& o) { o.stages = 2; }, "--stages is 2", 3);
  expect_refusal([&](TuneOptions& o) { o.stages = 3; }, "--stages is 3", 3);
  expect_refusal([&](TuneOptions& o) { o.rate = 0; }, "--lr is 0");
  expect_refusal([&](TuneOptions& o) { o.backend = "tpu"; }, "there is no backend \"tpu\"");
}

TEST_F(RefusedTune, FoldersThatLieInEachOtherOrHoldSomething) {
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.model + "/work"; }, "lies in --model");
  // Nobody should be told to remove what the job reads.
  for (const char* read : {"packed", "model"}) {
    expect_refusal([&](TuneOptions& o) { o.output_dir = folder_ / read; }, "lies in --");
  }
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.output_dir; }, "lies in --output-dir");
  folder_.write("full/something", "x");
  expect_refusal([&](TuneOptions& o) { o.output_dir = folder_ / "full"; }, "is not empty");
}

}  // namespace
}  // namespace bitmill
