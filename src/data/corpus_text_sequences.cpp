#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "data/corpus_index.hpp"
#include "data/corpus_sequences.hpp"
#include "data/corpus_tokens.hpp"

namespace bitmill {
namespace {

// What both cuts of texts share.
class TextSequences : public CorpusSequences {
 public:
  TextSequences(Files& files, const CorpusOptions& options)
      : options_(options),
        index_(files, indexed_files(options)),
        tokens_(files, index_, options.model_folder, options.vocab_size) {}

  std::string fingerprint() const final { return index_.content_hash(); }
  std::vector<std::string> notes() const override {
    if (index_.left_out() == 0) return {};
    return {fmt::format("{} documents are left out, and {} are used: they have fewer than {} bytes",
                        index_.left_out(), index_.documents(), options_.least_bytes)};
  }

 protected:
  // The first byte that is held out, as the ratio has it.
  int64_t held_out_begin() const {
    return index_.text_bytes() - held_out_of(options_, index_.text_bytes());
  }

  const CorpusOptions options_;
  const CorpusIndex index_;
  const CorpusTokens tokens_;
};

// One sequence for each document.
class DocumentSequences final : public TextSequences {
 public:
  DocumentSequences(Files& files, const CorpusOptions& options) : TextSequences(files, options) {
    const int64_t all = index_.documents();
    training_ = all;
    if (options_.held_out_numerator == 0) return;
    BITMILL_CHECK(all >= 2, UsageError,
                  fmt::format("{} is one document, and one more is needed to be held out: use "
                              "--pack, or give more text",
                              options_.paths.front()));
    // A document that reaches into the last part, but begins before it, is trained on.
    const int64_t cut = held_out_begin();
    const int64_t first = cut >= index_.text_bytes() ? all : index_.document_at(cut);
    training_ = std::clamp<int64_t>(
        first < all && index_.document(first).begin < cut ? first + 1 : first, 1, all - 1);
  }

  int64_t count(CorpusPart part) const override {
    return part == CorpusPart::training ? training_ : index_.documents() - training_;
  }

  std::vector<int32_t> sequence(CorpusPart part, int64_t number) const override {
    const int64_t there = count(part), first = part == CorpusPart::training ? 0 : training_;
    assert(0 <= number && number < there);
    for (int64_t step = 0; step < there; ++step) {
      auto ids = tokens_.front_of(first + (number + step) % there, options_.seq_len);
      if (ids.size() >= 2) return ids;
    }
    throw UsageError(
        fmt::format("none of the {} documents has two tokens: give another text", there));
  }

  std::vector<std::string> notes() const override {
    auto notes = TextSequences::notes();
    const int64_t mean = index_.text_bytes() / index_.documents();
    // No text has so few tokens.
    constexpr int64_t most_bytes_of_token = 16;
    if (mean / most_bytes_of_token >= options_.seq_len) {
      notes.push_back(
          fmt::format("documents have {} on average, and only their first {} tokens "
                      "are used: --pack uses all of them",
                      format_bytes(mean), options_.seq_len));
    }
    return notes;
  }

 private:
  int64_t training_ = 0;  // documents; those behind them are held out
};

// Windows over the borders of documents.
class PackedSequences final : public TextSequences {
 public:
  PackedSequences(Files& files, const CorpusOptions& options) : TextSequences(files, options) {
    measure();
    const int64_t all = index_.text_bytes(), window = bytes_of_window();
    BITMILL_CHECK(windows_in(all) >= 1, UsageError, too_short("the text", all));
    training_ = held_out_ = {0, all};
    if (options_.held_out_numerator == 0) return;
    // Somewhat longer than a window, which may have more bytes than others.
    const int64_t least = window + window / 4;
    BITMILL_CHECK(all >= 2 * least, UsageError,
                  fmt::format("a text of about {} tokens is too short for two windows of {}, one "
                              "to train on and one that is held out: use a smaller --seq-len, or "
                              "a longer text",
                              about_tokens(all), options_.seq_len));
    const int64_t cut = tokens_.word_begin(std::clamp(held_out_begin(), least, all - least));
    training_ = {0, cut};
    held_out_ = {cut, all};
    BITMILL_CHECK(cut < all && windows_in(held_out_.bytes()) >= 1, UsageError,
                  too_short("the text that is held out", all - cut));
  }

  int64_t count(CorpusPart part) const override { return windows_in(stretch_of(part).bytes()); }

  std::vector<int32_t> sequence(CorpusPart part, int64_t number) const override {
    const TextStretch whole = stretch_of(part);
    assert(0 <= number && number < count(part));
    const int64_t begin = std::min(
        whole.end, tokens_.word_begin(whole.begin + place_of(number, count(part), whole.bytes())));
    std::vector<int32_t> ids;
    tokens_.append({begin, whole.end}, options_.seq_len, ids);
    // The last windows go on at the begin of the part.
    while (std::ssize(ids) < options_.seq_len) {
      const size_t before = ids.size();
      tokens_.append(whole, options_.seq_len, ids);
      BITMILL_CHECK(ids.size() > before, UsageError, too_short("the text", whole.bytes()));
    }
    return ids;
  }

  std::vector<std::string> notes() const override {
    auto notes = TextSequences::notes();
    notes.push_back(tokens_.border_note());
    return notes;
  }

 private:
  // floor(bytes * number / count), without overflow.
  static int64_t place_of(int64_t number, int64_t count, int64_t bytes) {
    return bytes / count * number + bytes % count * number / count;
  }

  // How many bytes a token has: of the whole text where it is short, else of stretches of 8 KiB at
  // even distances.
  void measure() {
    constexpr int64_t stretch_bytes = 8192, most_stretches = 128;
    const int64_t all = index_.text_bytes();
    const int64_t count = std::clamp<int64_t>(all / stretch_bytes, 1, most_stretches);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t begin = place_of(i, count, all), next = place_of(i + 1, count, all);
      const int64_t end = count < most_stretches ? next : std::min(next, begin + stretch_bytes);
      const TextStretch stretch{tokens_.word_begin(begin), tokens_.word_begin(end)};
      if (stretch.end <= stretch.begin) continue;
      std::vector<int32_t> ids;
      tokens_.append(stretch, std::numeric_limits<int32_t>::max(), ids);
      measured_bytes_ += stretch.bytes();
      measured_tokens_ += std::ssize(ids);
    }
    BITMILL_CHECK(measured_tokens_ > 0, UsageError, "the corpus has no tokens: give another text");
  }

  int64_t about_tokens(int64_t bytes) const {
    return bytes / measured_bytes_ * measured_tokens_ +
           bytes % measured_bytes_ * measured_tokens_ / measured_bytes_;
  }
  int64_t windows_in(int64_t bytes) const { return about_tokens(bytes) / options_.seq_len; }
  int64_t bytes_of_window() const {
    return options_.seq_len * measured_bytes_ / measured_tokens_ + 1;
  }
  const TextStretch& stretch_of(CorpusPart part) const {
    return part == CorpusPart::training ? training_ : held_out_;
  }
  std::string too_short(const char* what, int64_t bytes) const {
    return fmt::format(
        "{} has about {} tokens, fewer than one window of {}: use a smaller "
        "--seq-len, or a longer text",
        what, about_tokens(bytes), options_.seq_len);
  }

  int64_t measured_bytes_ = 0, measured_tokens_ = 0;
  TextStretch training_, held_out_;
};

}  // namespace

IndexedFiles indexed_files(const CorpusOptions& options) {
  return {options.paths, options.text_key, options.model_folder, options.least_bytes,
          options.scratch_dir};
}

std::unique_ptr<CorpusSequences> open_text_sequences(Files& files, const CorpusOptions& options) {
  if (options.cut == CorpusCut::packed) return std::make_unique<PackedSequences>(files, options);
  return std::make_unique<DocumentSequences>(files, options);
}

}  // namespace bitmill
