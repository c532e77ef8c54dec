#include "data/training_corpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "data/corpus_index.hpp"
#include "data/corpus_order.hpp"
#include "data/corpus_sequences.hpp"

namespace bitmill {
namespace {

// What the orders of CorpusOrder are for: one choice of sequences for each part, and one order of
// them for every pass behind the first.
constexpr int64_t training_deal = 0, held_out_deal = 1, second_pass_deal = 2;

void check_corpus_options(const CorpusOptions& options) {
  BITMILL_CHECK(!options.paths.empty(), UsageError, "--corpus names no file");
  BITMILL_CHECK(options.seq_len >= 2, UsageError,
                fmt::format("--seq-len is {}, and a sequence needs at least 2 tokens: one to "
                            "predict, and one to predict it from",
                            options.seq_len));
  BITMILL_CHECK(options.least_bytes >= 1, UsageError,
                fmt::format("the least length of a document is {} bytes, and must be at least 1",
                            options.least_bytes));
}

}  // namespace

class TrainingCorpus::Impl {
 public:
  Impl(Files& files, CorpusOptions options) : options_(std::move(options)) {
    check_corpus_options(options_);
    sequences_ = holds_token_files(files, options_) ? open_token_sequences(files, options_)
                                                    : open_text_sequences(files, options_);
    there_ = sequences_->count(CorpusPart::training);
    size_ = options_.wanted > 0 ? std::min(options_.wanted, there_) : there_;
    if (options_.held_out_numerator > 0) {
      held_out_there_ = sequences_->count(CorpusPart::held_out);
      held_out_size_ =
          std::min(held_out_there_, std::max<int64_t>(1, held_out_of(options_, size_)));
    }
  }

  int64_t size() const { return size_; }
  int64_t held_out_size() const { return held_out_size_; }
  void leave_out(EvaluationText evaluation) { evaluation_ = std::move(evaluation); }

  std::vector<int32_t> plain_sequence(int64_t position) const {
    return sequences_->sequence(CorpusPart::training, number_at(position));
  }

  std::vector<int32_t> sequence(int64_t position) const {
    const int64_t first = number_at(position);
    for (int64_t step = 0; step < there_; ++step) {
      auto ids = sequences_->sequence(CorpusPart::training, (first + step) % there_);
      if (evaluation_.empty() || !evaluation_.shares_text_with(ids)) return ids;
    }
    throw UsageError(
        fmt::format("every one of the {} sequences of the corpus shares text with the evaluation: "
                    "train on another text, or evaluate on another one",
                    there_));
  }

  // The content, and some sequences, in which tokenizer and chat template show.
  std::string fingerprint() const {
    const int64_t samples = std::min<int64_t>(16, there_);
    Hasher hasher;
    hasher.add_text(sequences_->fingerprint());
    for (int64_t i = 0; i < samples; ++i) {
      const auto ids = sequences_->sequence(CorpusPart::training, i * there_ / samples);
      hasher.add(std::as_bytes(std::span(ids)));
    }
    return hasher.hex();
  }

  std::vector<std::string> notes() const {
    auto notes = sequences_->notes();
    if (options_.wanted > there_) {
      notes.push_back(
          fmt::format("the corpus has {} sequences, fewer than the {} that are wanted: "
                      "each is used more than once",
                      there_, options_.wanted));
    }
    return notes;
  }

  std::vector<int32_t> held_out_sequence(int64_t i) const {
    assert(0 <= i && i < held_out_size_);
    const CorpusOrder order(held_out_there_, options_.seed, held_out_deal);
    return sequences_->sequence(CorpusPart::held_out, order.at(i));
  }

 private:
  // Which sequence of the text stands at a position.
  int64_t number_at(int64_t position) const {
    assert(position >= 0);
    const int64_t pass = position / size_;
    int64_t i = position % size_;
    if (pass > 0) i = CorpusOrder(size_, options_.seed, second_pass_deal + pass - 1).at(i);
    return CorpusOrder(there_, options_.seed, training_deal).at(i);
  }

  const CorpusOptions options_;
  std::unique_ptr<CorpusSequences> sequences_;
  EvaluationText evaluation_;
  int64_t there_ = 0, size_ = 0;
  int64_t held_out_there_ = 0, held_out_size_ = 0;
};

TrainingCorpus::TrainingCorpus(Files& files, CorpusOptions options)
    : impl_(std::make_unique<Impl>(files, std::move(options))) {}
TrainingCorpus::~TrainingCorpus() = default;
TrainingCorpus::TrainingCorpus(TrainingCorpus&&) noexcept = default;

int64_t TrainingCorpus::size() const { return impl_->size(); }
std::vector<int32_t> TrainingCorpus::sequence(int64_t position) const {
  return impl_->sequence(position);
}
int64_t TrainingCorpus::held_out_size() const { return impl_->held_out_size(); }
std::vector<int32_t> TrainingCorpus::held_out_sequence(int64_t i) const {
  return impl_->held_out_sequence(i);
}
void TrainingCorpus::leave_out(EvaluationText evaluation) {
  impl_->leave_out(std::move(evaluation));
}
std::string TrainingCorpus::fingerprint() const { return impl_->fingerprint(); }
std::vector<std::string> TrainingCorpus::notes() const { return impl_->notes(); }

std::vector<int64_t> TrainingCorpus::overlapping_positions(int64_t count,
                                                           const EvaluationText& evaluation) const {
  std::vector<int64_t> found;
  for (int64_t position = 0; position < count; ++position) {
    if (evaluation.shares_text_with(impl_->plain_sequence(position))) found.push_back(position);
  }
  return found;
}

CorpusDiskBytes corpus_disk_bytes(Files& files, const CorpusOptions& options) {
  check_corpus_options(options);
  if (holds_token_files(files, options)) return {};
  return corpus_index_bytes(files, indexed_files(options));
}

void prepare_corpus(Files& files, const CorpusOptions& options, const CorpusProgress& progress) {
  check_corpus_options(options);
  if (holds_token_files(files, options)) return prepare_token_files(files, options, progress);
  write_corpus_index(files, indexed_files(options), progress);
}

bool corpus_is_prepared(Files& files, const CorpusOptions& options) {
  check_corpus_options(options);
  if (holds_token_files(files, options)) return token_files_are_prepared(files, options);
  return corpus_index_exists(files, indexed_files(options));
}

void remove_prepared_corpus(Files& files, const CorpusOptions& options) {
  if (holds_token_files(files, options)) return remove_prepared_token_files(files, options);
  remove_corpus_index(files, indexed_files(options));
}

int64_t held_out_of(const CorpusOptions& options, int64_t amount) {
  const int64_t whole = options.held_out_denominator, share = options.held_out_numerator;
  return amount / whole * share + amount % whole * share / whole;
}

}  // namespace bitmill
