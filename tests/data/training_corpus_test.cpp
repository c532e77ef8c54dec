#include "data/training_corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "data/token_text.hpp"
#include "data/tokenizer.hpp"
#include "training_corpus_fixture.hpp"

namespace bitmill {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(TrainingCorpusTest, ADocumentIsASequenceCutAtItsLength) {
  const auto documents = made_documents(50);
  const auto corpus = opened(options_of(folder_.write("a.txt", as_text(documents))));
  std::vector<Sequence> expected;
  for (const std::string& document : documents) {
    expected.push_back(books_->encode(document, true));
    if (expected.back().size() > 40) expected.back().resize(40);
  }
  EXPECT_EQ(corpus.size(), 50);
  auto found = pass_of(corpus);
  EXPECT_NE(found, expected) << "not shuffled";
  std::ranges::sort(found);
  std::ranges::sort(expected);
  EXPECT_EQ(found, expected);
}

TEST_F(TrainingCorpusTest, LongDocumentsAreTokenizedOnlyAtTheirFront) {
  const std::string document = corpora::counted_words(0, 50'000);
  auto options = options_of(folder_.write("a.txt", document));
  for (const int64_t length : {2, 40, 1000}) {
    options.seq_len = length;
    auto expected = books_->encode(document, true);
    expected.resize(static_cast<size_t>(length));
    EXPECT_EQ(opened(options).sequence(0), expected);
  }
}

TEST_F(TrainingCorpusTest, FilesOfAllFormsGiveTheSameSequences) {
  const auto documents = made_documents(30);
  const std::string text = as_text(documents), lines = as_lines(documents);
  const auto plain = opened(options_of(folder_.write("a.txt", text)));
  for (const std::string& path :
       {folder_.write("a.txt.gz", corpora::gzip(text)), folder_.write("b", corpora::zstd(text)),
        folder_.write("a.jsonl", lines), folder_.write("a.jsonl.zst", corpora::zstd(lines))}) {
    const auto other = opened(options_of(path));
    EXPECT_EQ(pass_of(other), pass_of(plain)) << path;
    const bool same_content = path.find("jsonl") == path.npos;
    EXPECT_EQ(other.fingerprint() == plain.fingerprint(), same_content) << path;
  }
}

TEST_F(TrainingCorpusTest, EveryPassHasTheSameSequencesInAnotherOrder) {
  auto options = options_of(folder_.write("a.txt", as_text(made_documents(40))));
  for (const int64_t wanted : {0, 12}) {
    options.wanted = wanted;
    const auto corpus = opened(options);
    ASSERT_EQ(corpus.size(), wanted == 0 ? 40 : 12);
    auto first = pass_of(corpus, 0), second = pass_of(corpus, 1), third = pass_of(corpus, 2);
    EXPECT_NE(first, second);
    EXPECT_NE(second, third);
    for (auto* pass : {&first, &second, &third}) std::ranges::sort(*pass);
    EXPECT_EQ(first, second);
    EXPECT_EQ(first, third);
    EXPECT_EQ(std::ranges::unique(first).size(), 0u);
  }
}

TEST_F(TrainingCorpusTest, TheSeedGivesTheOrderAndFewerAreTheFirstOfAll) {
  auto options = options_of(folder_.write("a.txt", as_text(made_documents(40))));
  const auto all = pass_of(opened(options));
  EXPECT_EQ(pass_of(opened(options)), all);
  options.wanted = 12;
  EXPECT_EQ(pass_of(opened(options)), std::vector(all.begin(), all.begin() + 12));
  options.seed = 1;
  EXPECT_NE(pass_of(opened(options)), std::vector(all.begin(), all.begin() + 12));
}

TEST_F(TrainingCorpusTest, SequencesDoNotDependOnThreadsAndCallsBefore) {
  for (const CorpusCut cut : {CorpusCut::documents, CorpusCut::packed}) {
    const auto corpus =
        opened(options_of(folder_.write("a.jsonl", as_lines(made_documents(40))), cut));
    const auto expected = pass_of(corpus);
    std::vector<Sequence> found(expected.size());
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (size_t i = found.size(); i-- > 0;) {
          if (i % 4 == t) found[i] = corpus.sequence(static_cast<int64_t>(i));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(found, expected);
  }
}

TEST_F(TrainingCorpusTest, PackedWindowsHaveOneLengthAndHoldAlmostAllWords) {
  const auto documents = made_documents(250);
  auto options = options_of(folder_.write("a.txt", as_text(documents)), CorpusCut::packed);
  options.seq_len = 200;
  const auto windows = pass_of(opened(options));
  EXPECT_THAT(windows, Each(SizeIs(200)));
  std::string all;
  for (const Sequence& window : windows) all += text_of(window) + " ";
  int words = 0, found = 0, twice = 0;
  for (const std::string& document : documents) {
    for (int i = 0; i + 5 <= std::ssize(document); i += 6) {  // "w1000", one blank
      const std::string word = document.substr(static_cast<size_t>(i), 5);
      const size_t first = all.find(word);
      ++words;
      found += first != all.npos;
      twice += first != all.npos && all.find(word, first + 1) != all.npos;
    }
  }
  EXPECT_GE(found, words * 95 / 100);
  EXPECT_LE(twice, words * 5 / 100);
}

TEST_F(TrainingCorpusTest, PackedWindowsAreStretchesOfTheTokenizedText) {
  const auto documents = made_documents(60);
  for (const std::string& model : {books_model, bos_model}) {
    auto options = options_of(folder_.write("a.txt", as_text(documents)), CorpusCut::packed);
    options.model_folder = model;
    const auto tokenizer = open_tokenizer(*files_, model);
    const bool has_bos = !tokenizer->ids_before_text().empty();
    Sequence whole;
    for (int round = 0; round < 2; ++round) {  // the last windows go on at the begin
      for (const std::string& document : documents) {
        const auto ids = tokenizer->encode(document, true);
        whole.insert(whole.end(), ids.begin(), ids.end());
        const auto eos = tokenizer->encode("</s>", false);
        if (!has_bos && eos.size() == 1) whole.push_back(eos.front());
      }
    }
    int exact = 0;
    const auto windows = pass_of(opened(options));
    for (const Sequence& window : windows) {
      exact += !std::ranges::search(whole, window).empty();
    }
    EXPECT_EQ(exact, std::ssize(windows)) << model;
    const auto has_border = [&](const Sequence& window) {
      return std::ranges::count(window,
                                has_bos ? 1 : whole[books_->encode(documents[0], true).size()]) > 0;
    };
    EXPECT_GT(std::ranges::count_if(windows, has_border), 0);
  }
}

TEST_F(TrainingCorpusTest, WhatIsHeldOutIsTheEndOfTheTextAndNeverTrainedOn) {
  const auto documents = made_documents(200);
  for (const CorpusCut cut : {CorpusCut::documents, CorpusCut::packed}) {
    auto options = options_of(folder_.write("a.txt", as_text(documents)), cut);
    options.held_out_numerator = 1;
    options.held_out_denominator = 10;
    const auto corpus = opened(options);
    const auto held_out = held_out_of_corpus(corpus);
    EXPECT_GT(held_out.size(), 1u);
    EXPECT_NEAR(static_cast<double>(held_out.size()), static_cast<double>(corpus.size()) / 10, 1.0);
    std::set<std::string> words;
    std::string smallest = "w99999";
    for (const Sequence& ids : held_out) {
      const std::string text = text_of(ids);
      for (size_t at = 0; (at = text.find('w', at)) != text.npos; ++at) {
        if (at + 5 <= text.size()) smallest = std::min(smallest, text.substr(at, 5));
      }
    }
    for (int64_t i = 0; i < 2 * corpus.size(); ++i) {
      const std::string text = text_of(corpus.sequence(i));
      for (size_t at = 0; (at = text.find('w', at)) != text.npos; ++at) {
        if (at + 5 <= text.size()) {
          EXPECT_LT(text.substr(at, 5), smallest);
        }
      }
    }
  }
}

TEST_F(TrainingCorpusTest, HeldOutSequencesFollowTheNumberThatIsWanted) {
  auto options = options_of(folder_.write("a.txt", as_text(made_documents(200))));
  options.held_out_numerator = 1;
  options.held_out_denominator = 10;
  options.wanted = 5;
  EXPECT_EQ(opened(options).held_out_size(), 1);
  options.wanted = 40;
  EXPECT_EQ(opened(options).held_out_size(), 4);
}

TEST_F(TrainingCorpusTest, ADocumentOfOneTokenIsReplacedByTheNext) {
  auto options = options_of(folder_.write("a.txt", "a<|endoftext|>the forest is dark"));
  options.least_bytes = 1;
  ASSERT_EQ(books_->encode("a", true).size(), 1u);
  EXPECT_THAT(pass_of(opened(options)), Each(books_->encode("the forest is dark", true)));
  options.paths = {folder_.write("b.txt", "a<|endoftext|>a")};
  EXPECT_THAT(corpora::refusal<UsageError>([&] { opened(options).sequence(0); }),
              HasSubstr("none of the 2 documents has two tokens"));
}

TEST_F(TrainingCorpusTest, RowsOfTokenFilesAreSequences) {
  Tokens tokens;
  tokens.windows = 6;
  tokens.window_len = 5;
  for (int32_t i = 0; i < 30; ++i) tokens.ids.push_back(i);
  write_token_file(*files_, folder_ / "rows.safetensors", tokens);
  auto options = options_of(folder_ / "rows.safetensors");
  const auto corpus = opened(options);
  auto rows = pass_of(corpus);
  std::ranges::sort(rows);
  ASSERT_EQ(rows.size(), 6u);
  for (int32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(rows[static_cast<size_t>(i)],
              (Sequence{5 * i, 5 * i + 1, 5 * i + 2, 5 * i + 3, 5 * i + 4}));
  }
  options.cut = CorpusCut::packed;
  EXPECT_THAT(refused(options), HasSubstr("rows of 5 tokens, shorter than the 40"));
  options.seq_len = 3;
  options.held_out_numerator = 1;
  options.held_out_denominator = 3;
  EXPECT_THAT(held_out_of_corpus(opened(options)), Each(SizeIs(3)));
  EXPECT_EQ(opened(options).size(), 4);
  options.paths.push_back(folder_.write("a.txt", "a text"));
  EXPECT_THAT(refused(options), HasSubstr("give files of one kind"));
}

TEST_F(TrainingCorpusTest, ATokenizedTextIsCutIntoWindowsThatFollowEachOther) {
  Tokens tokens;
  for (int32_t i = 0; i < 100; ++i) tokens.ids.push_back(i);
  write_token_file(*files_, folder_ / "text.safetensors", tokens);
  auto options = options_of(folder_ / "text.safetensors", CorpusCut::packed);
  auto windows = pass_of(opened(options));
  std::ranges::sort(windows);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[1].front(), 40);
  EXPECT_EQ(windows[1].back(), 79);
  options.cut = CorpusCut::documents;
  EXPECT_THAT(refused(options), HasSubstr("use --pack"));
  options.cut = CorpusCut::packed;
  options.vocab_size = 50;
  EXPECT_THAT(refused(options), HasSubstr("the token id at position 50 is 50"));
}

TEST_F(TrainingCorpusTest, SequencesThatShareTextWithAnEvaluationAreLeftOut) {
  const auto documents = made_documents(60);
  auto options = options_of(folder_.write("a.txt", as_text(documents)));
  options.seq_len = 200;
  auto corpus = opened(options);
  EvaluationText evaluation;
  for (const size_t i : {6u, 7u, 34u}) evaluation.add(books_->encode(documents[i], true));
  const auto shared = corpus.overlapping_positions(corpus.size(), evaluation);
  ASSERT_EQ(shared.size(), 3u);
  const auto before = pass_of(corpus);
  corpus.leave_out(evaluation);
  const auto after = pass_of(corpus);
  for (size_t i = 0; i < before.size(); ++i) {
    const bool is_shared = std::ranges::count(shared, static_cast<int64_t>(i)) > 0;
    EXPECT_EQ(before[i] != after[i], is_shared);
    EXPECT_FALSE(evaluation.shares_text_with(after[i]));
    EXPECT_THAT(before, Contains(after[i]));
  }
  for (const std::string& document : documents) evaluation.add(books_->encode(document, true));
  corpus.leave_out(evaluation);
  EXPECT_THAT(corpora::refusal<UsageError>([&] { corpus.sequence(0); }),
              HasSubstr("every one of the 60 sequences"));
}

TEST_F(TrainingCorpusTest, EvaluationStoriesAreFoundInTheSampleAndNotInTheTrainingText) {
  const std::string windows = BITMILL_SOURCE_DIR "/../shared/oracle/stories260K/eval.safetensors";
  if (!files_->exists(stories_text + "/train.txt") || !files_->exists(windows)) {
    GTEST_SKIP() << "needs the texts of TinyStories and the evaluation windows in ../shared";
  }
  const Tokens tokens = read_tokens(*files_, windows, stories_model, 512);
  EvaluationText evaluation;
  for (int64_t i = 0; i < tokens.windows; ++i) {
    evaluation.add(std::span(tokens.ids)
                       .subspan(static_cast<size_t>(i * tokens.window_len),
                                static_cast<size_t>(tokens.window_len)));
  }
  auto options = options_of(stories_text + "/train.txt", CorpusCut::packed);
  options.model_folder = stories_model;
  options.vocab_size = 512;
  options.seq_len = 256;
  const auto train = opened(options);
  EXPECT_THAT(train.overlapping_positions(train.size(), evaluation), IsEmpty());
  options.paths = {stories_text + "/sample.txt"};
  const auto sample = opened(options);
  const auto shared = sample.overlapping_positions(sample.size(), evaluation);
  EXPECT_GE(shared.size(), 64u);
  EXPECT_LE(shared.size(), 80u);
}

}  // namespace
}  // namespace bitmill
