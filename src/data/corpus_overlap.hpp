#pragma once
// Whether texts that are trained on contain text of an evaluation. Both are token ids of the same
// tokenizer.

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

namespace bitmill {

// A stretch of `stretch_tokens` tokens that is equal in both counts, wherever it begins: so it does
// not matter how either text is cut into windows. CORPUS.md, "Evaluation text", says why 48.
//
// Not for several threads while add() runs; afterwards for any number.
class EvaluationText {
 public:
  static constexpr int64_t stretch_tokens = 48;

  // A window of an evaluation, or a whole text; not empty. One that is shorter than a stretch is
  // one stretch of its own length. Memory: about 40 bytes for each token.
  void add(std::span<const int32_t> ids);
  bool empty() const { return hashes_.empty(); }

  // Whether some stretch of `ids` is also in what was added. By 64-bit hashes: two different
  // stretches are taken for equal about once in 2^64 comparisons.
  bool shares_text_with(std::span<const int32_t> ids) const;

 private:
  std::unordered_set<uint64_t> hashes_;
  std::vector<int64_t> lengths_ = {};  // of stretches, each once
};

}  // namespace bitmill
