#include "eval/text_scores.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/pieces.hpp"
#include "comm/gather.hpp"
#include "eval/eval_head.hpp"
#include "eval/text_forward.hpp"

namespace bitmill {
namespace {

// This rank's texts: their tokens begin in its part of all tokens.
std::span<const ScoredText> texts_of_rank(std::span<const ScoredText> texts,
                                          const Communicator& comm) {
  int64_t total = 0;
  for (const ScoredText& text : texts) total += std::ssize(text.ids);
  const auto first_of = [&](int64_t rank) {
    int64_t tokens = 0;
    size_t text = 0;
    while (text < texts.size() && tokens < total * rank / comm.size()) {
      tokens += std::ssize(texts[text++].ids);
    }
    return text;
  };
  const size_t first = first_of(comm.rank());
  return texts.subspan(first, first_of(comm.rank() + 1) - first);
}

// What the model reads: the last token is only predicted.
TextIds read_part(const ScoredText& text) { return TextIds(text.ids).first(text.ids.size() - 1); }

// The outputs that predict the scored tokens, of the outputs of what was read.
at::Tensor predicting_rows(const ScoredText& text, const at::Tensor& x) {
  return x.narrow(0, text.context - 1, text.scored());
}

// logits: [vocab].
TextScore score_token(const at::Tensor& logits, int32_t target) {
  const auto vocab = static_cast<size_t>(logits.size(0));
  const std::span<const float> row(logits.const_data_ptr<float>(), vocab);
  const at::Tensor log_p = at::log_softmax(logits, -1);
  return {.log_likelihood = double{log_p.const_data_ptr<float>()[target]},
          .greedy = row[target] == std::ranges::max(row) ? 1 : 0};
}

class TextScorer {
 public:
  // first: the number of the first of these texts among all.
  TextScorer(const EvalModel& model, std::span<const ScoredText> texts, int64_t first,
             const Device& device)
      : model_(model),
        texts_(texts),
        first_(first),
        device_(device),
        pool_(device.host()),
        scores_(texts.size()) {}

  // Block by block, then all heads.
  void score_by_blocks(StreamBudget& budget, const std::function<void()>& block_done) {
    std::vector<TextIds> ids;
    for (const ScoredText& text : texts_) ids.push_back(read_part(text));
    const TextNames names{"text of the tasks", first_};
    const auto streams = forward_texts(model_.folder, ids, names, budget, device_, block_done);
    if (texts_.empty()) return;
    const EvalHead head(model_, device_);
    for (int64_t i = 0; i < std::ssize(texts_); ++i) {
      streams->prefetch(i + 1);
      scores_[i] = score(texts_[i], predicting_rows(texts_[i], streams->load(i)), head);
    }
  }

  // In as many parts as the model has blocks: only the outputs of one part are in memory.
  void score_whole(const std::function<void()>& part_done) {
    const EvalHead head(model_, device_);
    const int64_t parts = model_.folder.config().blocks;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = std::ssize(texts_) * part / parts;
      std::vector<at::Tensor> rows(std::ssize(texts_) * (part + 1) / parts - first);
      pool_.parallel_for(std::ssize(rows), [&](int64_t i) {
        const ScoredText& text = texts_[first + i];
        rows[i] = predicting_rows(text, model_.whole->forward(read_part(text), pool_)).clone();
      });
      for (int64_t i = 0; i < std::ssize(rows); ++i) {
        scores_[first + i] = score(texts_[first + i], rows[i], head);
      }
      part_done();
    }
  }

  const std::vector<TextScore>& scores() const { return scores_; }

 private:
  // x: [scored, hidden]. All threads work on one text's logits.
  TextScore score(const ScoredText& text, const at::Tensor& x, const EvalHead& head) {
    TextScore sum{.log_likelihood = 0, .greedy = 1};
    for_pieces(text.scored(), rows_at_once, [&](int64_t first, int64_t count) {
      const at::Tensor logits = head.logits(x.narrow(0, first, count));
      std::vector<TextScore> tokens(count);
      pool_.parallel_for(count, [&](int64_t i) {
        tokens[i] = score_token(logits.select(0, i), text.ids[text.context + first + i]);
      });
      for (const TextScore& token : tokens) {
        sum.log_likelihood += token.log_likelihood;
        sum.greedy &= token.greedy;
      }
    });
    return sum;
  }

  const EvalModel& model_;
  const std::span<const ScoredText> texts_;
  const int64_t first_;
  const Device& device_;
  ThreadPool& pool_;
  std::vector<TextScore> scores_;
};

}  // namespace

std::vector<TextScore> score_texts(const EvalModel& model, std::span<const ScoredText> texts,
                                   StreamBudget& budget, Communicator& comm, const Device& device,
                                   const EvalProgress& progress) {
  const int64_t total = model.folder.config().blocks;
  int64_t done = 0;
  const auto part_done = [&] {
    ++done;
    if (progress) progress(done, total);
  };
  const std::span<const ScoredText> mine = texts_of_rank(texts, comm);
  TextScorer scorer(model, mine, mine.data() - texts.data(), device);
  if (model.whole != nullptr) {
    scorer.score_whole(part_done);
  } else {
    scorer.score_by_blocks(budget, part_done);
  }
  return gather_joined<TextScore>(comm, scorer.scores());
}

}  // namespace bitmill
