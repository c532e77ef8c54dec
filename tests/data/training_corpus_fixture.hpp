#pragma once
// Small corpora in all forms, and the fixture of the tests of TrainingCorpus.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "corpus_files.hpp"
#include "data/tokenizer.hpp"
#include "data/training_corpus.hpp"
#include "temp_folder.hpp"

namespace bitmill {

using Sequence = std::vector<int32_t>;

inline const std::string books_model = BITMILL_SOURCE_DIR "/tests/data/books-2M";        // no BOS
inline const std::string bos_model = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/spm";  // BOS 1
inline const std::string stories_text = BITMILL_SOURCE_DIR "/../shared/text/tinystories";
inline const std::string stories_model = BITMILL_SOURCE_DIR "/../shared/models/stories260K";

// Documents of 10 to 60 words; every word occurs once in all of them.
inline std::vector<std::string> made_documents(int count) {
  std::vector<std::string> documents;
  int word = 1000;
  for (int i = 0; i < count; ++i) {
    const int words = 10 + 7 * i % 51;
    documents.push_back(corpora::counted_words(word, words));
    word += words;
  }
  return documents;
}

inline std::string as_text(const std::vector<std::string>& documents) {
  std::string text;
  for (const std::string& document : documents) text += document + "\n<|endoftext|>\n";
  return text;
}

inline std::string as_lines(const std::vector<std::string>& documents) {
  std::string lines;
  for (std::string document : documents) {
    for (size_t at; (at = document.find('\n')) != document.npos;) document.replace(at, 1, "\\n");
    lines += "{\"text\": \"" + document + "\"}\n";
  }
  return lines;
}

class TrainingCorpusTest : public ::testing::Test {
 protected:
  CorpusOptions options_of(const std::string& path, CorpusCut cut = CorpusCut::documents) const {
    CorpusOptions options;
    options.paths = {path};
    options.model_folder = books_model;
    options.vocab_size = 2048;
    options.seq_len = 40;
    options.cut = cut;
    options.least_bytes = 16;
    options.scratch_dir = folder_ / "scratch";
    return options;
  }
  TrainingCorpus opened(const CorpusOptions& options) const {
    prepare_corpus(*files_, options);
    return TrainingCorpus(*files_, options);
  }
  std::string refused(const CorpusOptions& options) const {
    return corpora::refusal([&] { opened(options); });
  }
  static std::vector<Sequence> pass_of(const TrainingCorpus& corpus, int64_t pass = 0) {
    std::vector<Sequence> sequences;
    for (int64_t i = 0; i < corpus.size(); ++i) {
      sequences.push_back(corpus.sequence(pass * corpus.size() + i));
    }
    return sequences;
  }
  static std::vector<Sequence> held_out_of_corpus(const TrainingCorpus& corpus) {
    std::vector<Sequence> sequences;
    for (int64_t i = 0; i < corpus.held_out_size(); ++i) {
      sequences.push_back(corpus.held_out_sequence(i));
    }
    return sequences;
  }
  std::string text_of(const Sequence& ids) const { return books_->decode(ids, true); }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const std::unique_ptr<Tokenizer> books_ = open_tokenizer(*files_, books_model);
};

}  // namespace bitmill
