#include "data/window_bos.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <string>

#include "base/error.hpp"
#include "base/files.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string model_with_bos = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/spm";  // id 1
const std::string model_without_bos = BITMILL_SOURCE_DIR "/tests/data/books-2M";

Tokens text_after(std::vector<int32_t> before) {
  Tokens tokens;
  tokens.ids.resize(20);
  std::iota(tokens.ids.begin(), tokens.ids.end(), 10);
  tokens.before = std::move(before);
  tokens.tokenized_here = true;
  return tokens;
}

std::optional<int32_t> chosen(WindowBos wish, const Tokens& tokens,
                              const std::string& model = "no folder") {
  return choose_window_bos(wish, tokens, *posix_files(), model);
}

std::string bos_refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(WindowBos, IsTheTokenThatTheTokenizerPutsBeforeAText) {
  EXPECT_EQ(chosen(WindowBos::on, text_after({1})), 1);
  EXPECT_EQ(chosen(WindowBos::automatic, text_after({1})), 1);
  EXPECT_EQ(chosen(WindowBos::off, text_after({1})), std::nullopt);
  EXPECT_EQ(chosen(WindowBos::automatic, text_after({})), std::nullopt);
}

TEST(WindowBos, OfAFileOfIdsComesFromTheModelsTokenizer) {
  Tokens tokens = text_after({});
  tokens.tokenized_here = false;
  EXPECT_EQ(chosen(WindowBos::on, tokens, model_with_bos), 1);
  EXPECT_EQ(chosen(WindowBos::automatic, tokens, model_without_bos), std::nullopt);
}

TEST(WindowBos, ThatCanHaveNoEffectIsRefused) {
  EXPECT_THAT(bos_refusal([] { chosen(WindowBos::on, text_after({})); }),
              HasSubstr("puts no token before a text"));
  EXPECT_THAT(bos_refusal([] {
                chosen(WindowBos::automatic, text_after({1, 5}));
              }),
              AllOf(HasSubstr("1, 5"), HasSubstr("only one")));
  Tokens rows = text_after({});
  rows.windows = 4;
  rows.window_len = 5;
  EXPECT_THAT(bos_refusal([&] { chosen(WindowBos::on, rows); }), HasSubstr("ready windows"));
  EXPECT_EQ(chosen(WindowBos::automatic, rows), std::nullopt);
}

TEST(WindowBos, ReplacesTheFirstTokenOfEveryWindow) {
  Windows windows = evaluation_windows(text_after({}), 4, 2);
  begin_windows_with(1, windows);
  EXPECT_THAT(windows.ids, ElementsAre(1, 11, 12, 13, 1, 15, 16, 17));
  EXPECT_EQ(windows.bos, 1);
}

TEST(WindowBos, WindowsThatBeginWithoutItAreCounted) {
  Tokens tokens = text_after({10});
  const Windows windows = evaluation_windows(tokens, 4, 0);
  EXPECT_THAT(missing_bos_note(tokens, windows),
              AllOf(HasSubstr("token 10"), HasSubstr("4 of 5 windows"), HasSubstr("--window-bos")));
  EXPECT_EQ(missing_bos_note(text_after({}), windows), "");
  EXPECT_EQ(missing_bos_note(tokens, evaluation_windows(tokens, 4, 1)), "");
}

}  // namespace
}  // namespace bitmill
