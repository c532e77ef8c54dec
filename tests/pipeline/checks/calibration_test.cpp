// What windows a job gets from its calibration, and what is said and refused.

#include "pipeline/checks/calibration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "base/error.hpp"
#include "data/token_text.hpp"
#include "model/config.hpp"
#include "model/tiny_model.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CalibrationOfAJob : public testing::Test {
 protected:
  CalibrationOfAJob() {
    nlohmann::json config = test::tiny_config();
    config["vocab_size"] = 5000;
    folder_.write("model/config.json", config.dump());
    options_.model = folder_ / "model";
    options_.samples = 8;
    options_.seq_len = 4;
  }

  // Ids that count up.
  void write_tokens(int64_t count, int64_t rows) {
    Tokens tokens;
    tokens.ids.resize(static_cast<size_t>(count));
    std::iota(tokens.ids.begin(), tokens.ids.end(), 0);
    tokens.windows = rows;
    tokens.window_len = rows > 0 ? count / rows : 0;
    options_.calib = folder_ / "t.safetensors";
    write_token_file(*files_, options_.calib, tokens);
  }
  Calibration read() {
    return read_calibration(calibration_source(options_), *files_,
                            read_model_config(*files_, options_.model));
  }
  std::string refusal() {
    try {
      read();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  static std::set<int32_t> firsts(const Windows& windows) {
    std::set<int32_t> ids;
    for (int64_t i = 0; i < windows.count; ++i) ids.insert(windows.window(i).front());
    return ids;
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  QuantizeOptions options_;
};

TEST_F(CalibrationOfAJob, ASeedForReadyWindowsIsSaidToHaveNoEffect) {
  const auto idle_seed = AllOf(HasSubstr("--seed 7 has no effect"), HasSubstr("--shuffle-seed 7"));
  options_.seed = 7;
  options_.seed_by_hand = true;
  write_tokens(400, 0);
  EXPECT_THAT(read().notes, Not(Contains(idle_seed)));
  write_tokens(400, 100);
  EXPECT_THAT(read().notes, Contains(idle_seed));
  options_.seed_by_hand = false;
  EXPECT_THAT(read().notes, Not(Contains(idle_seed)));
}

TEST_F(CalibrationOfAJob, AShuffleSeedChangesTheOrderOfDrawnAndReadyWindowsAlone) {
  for (const int64_t rows : {0, 100}) {
    write_tokens(400, rows);
    options_.shuffle_seed.reset();
    const Windows plain = read().windows;
    options_.shuffle_seed = 1;
    const Windows one = read().windows;
    options_.shuffle_seed = 2;
    const Windows two = read().windows;
    EXPECT_NE(one.ids, plain.ids);
    EXPECT_NE(one.ids, two.ids);
    EXPECT_EQ(firsts(one), firsts(plain));
    EXPECT_EQ(firsts(two), firsts(plain));
  }
}

TEST_F(CalibrationOfAJob, HeldOutWindowsStayWhereTheyAre) {
  write_tokens(400, 100);
  CalibrationSource source = calibration_source(options_);
  source.held_out = {1, 4};
  const ModelConfig config = read_model_config(*files_, options_.model);
  const Calibration plain = read_calibration(source, *files_, config);
  source.shuffle_seed = 1;
  const Calibration shuffled = read_calibration(source, *files_, config);
  ASSERT_EQ(shuffled.held_out, 2);
  EXPECT_NE(shuffled.windows.ids, plain.windows.ids);
  EXPECT_TRUE(std::equal(plain.windows.ids.end() - 2 * 4, plain.windows.ids.end(),
                         shuffled.windows.ids.end() - 2 * 4));
}

TEST_F(CalibrationOfAJob, AShortTextIsSaidAndOneThatIsTooShortRefused) {
  write_tokens(400, 0);
  EXPECT_THAT(read().notes, IsEmpty());
  write_tokens(15, 0);
  EXPECT_THAT(read().notes, Contains(HasSubstr("they share tokens")));
  write_tokens(5, 0);
  EXPECT_THAT(refusal(), HasSubstr("only 2 of the 8 calibration windows are distinct"));
  write_tokens(7, 0);
  options_.samples = 17;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("too short for 17"), HasSubstr("--samples 16")));
}

const std::string bos_tokenizer = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/spm/tokenizer.json";

TEST_F(CalibrationOfAJob, WindowsFromTheMiddleBeginWithTheBosOnlyOnRequest) {
  std::filesystem::copy(bos_tokenizer, folder_ / "model/tokenizer.json");
  std::string text;
  for (int i = 0; i < 300; ++i) text += "word " + std::to_string(i * i) + "\n";
  options_.calib = folder_.write("t.md", text);
  const Calibration plain = read();
  EXPECT_THAT(plain.notes, Contains(HasSubstr("the tokenizer begins a text with the token 1")));
  EXPECT_FALSE(plain.windows.bos);
  for (const WindowBos wish : {WindowBos::on, WindowBos::automatic}) {
    options_.window_bos = wish;
    const Calibration changed = read();
    EXPECT_THAT(changed.notes, IsEmpty());
    EXPECT_EQ(firsts(changed.windows), std::set<int32_t>{1});
    EXPECT_EQ(changed.windows.bos, 1);
    EXPECT_TRUE(std::equal(plain.windows.ids.begin() + 1, plain.windows.ids.begin() + 4,
                           changed.windows.ids.begin() + 1));
  }
}

}  // namespace
}  // namespace bitmill
