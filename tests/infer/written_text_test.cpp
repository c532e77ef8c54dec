#include "infer/written_text.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

const std::string no_character = "\xEF\xBF\xBD";  // U+FFFD

class WrittenTextTest : public testing::Test {
 protected:
  // What is shown of `ids` from `cut` on, when those before are the prompt.
  std::string shown_after(const std::vector<int32_t>& ids, size_t cut) const {
    const std::span<const int32_t> all(ids);
    WrittenText written(*tokenizer_, all.first(cut), {.max_tokens = std::ssize(ids)});
    std::string shown;
    for (size_t i = cut; i < ids.size(); ++i) shown += written.push(ids[i], i + 1 < ids.size());
    return shown;
  }

  const std::unique_ptr<Files> files_ = posix_files();
  const std::unique_ptr<Tokenizer> tokenizer_ =
      open_tokenizer(*files_, BITMILL_SOURCE_DIR "/tests/data/books-2M");
};

// Where the prompt ends inside a character of two, three or four bytes, the character is new.
TEST_F(WrittenTextTest, NoCharacterIsLostOrCutWhereverThePromptEnds) {
  const std::string text = "Yes, \u00e9\u20ac\U0001F600 it is";
  const std::vector<int32_t> ids = tokenizer_->encode(text, false);
  int inside = 0;
  for (size_t cut = 1; cut < ids.size(); ++cut) {
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(cut);
    std::string prompt = tokenizer_->decode({ids.begin(), end}, /*skip_special=*/true);
    for (; prompt.ends_with(no_character); ++inside) prompt.resize(prompt.size() - 3);
    EXPECT_EQ(prompt + shown_after(ids, cut), text) << "after " << cut << " tokens";
  }
  EXPECT_GT(inside, 0) << "no prompt ended inside a character";
}

// The prompt's text has this U+FFFD already.
TEST_F(WrittenTextTest, APartOfACharacterThatNothingCompletesIsThePrompts) {
  const std::vector<int32_t> emoji = tokenizer_->encode("\U0001F600", false);
  ASSERT_GT(emoji.size(), 1U);
  std::vector<int32_t> ids = {emoji.front()};
  for (const int32_t id : tokenizer_->encode("abc", false)) ids.push_back(id);
  EXPECT_EQ(tokenizer_->decode(ids, true), no_character + "abc");
  EXPECT_EQ(shown_after(ids, 1), "abc");
}

}  // namespace
}  // namespace bitmill
