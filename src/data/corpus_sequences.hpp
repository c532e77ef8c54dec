#pragma once
// The sequences of a corpus in the order of its text, each by its number: what TrainingCorpus
// shuffles.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/corpus_index.hpp"
#include "data/training_corpus.hpp"

namespace bitmill {

// Text that is trained on, and text at the end that is held out.
enum class CorpusPart { training, held_out };

// Const methods may be called from several threads at once.
class CorpusSequences {
 public:
  virtual ~CorpusSequences() = default;
  virtual int64_t count(CorpusPart part) const = 0;
  // REQUIRES: 0 <= number < count(part). Errors as in TrainingCorpus::sequence().
  virtual std::vector<int32_t> sequence(CorpusPart part, int64_t number) const = 0;

  virtual std::string fingerprint() const = 0;
  virtual std::vector<std::string> notes() const = 0;
};

// Of texts, on their index (corpus_index.hpp).
std::unique_ptr<CorpusSequences> open_text_sequences(Files& files, const CorpusOptions& options);
IndexedFiles indexed_files(const CorpusOptions& options);

// Of token files. What is prepared is one small file, which says that all ids were looked at, and
// their hash.
std::unique_ptr<CorpusSequences> open_token_sequences(Files& files, const CorpusOptions& options);
void prepare_token_files(Files& files, const CorpusOptions& options,
                         const CorpusProgress& progress);
bool token_files_are_prepared(Files& files, const CorpusOptions& options);
void remove_prepared_token_files(Files& files, const CorpusOptions& options);
// UsageError where some are token files, and some are not.
bool holds_token_files(Files& files, const CorpusOptions& options);

// floor(ratio * amount), without overflow, of the ratio that is held out.
int64_t held_out_of(const CorpusOptions& options, int64_t amount);

}  // namespace bitmill
