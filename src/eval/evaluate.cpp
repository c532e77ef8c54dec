#include "eval/evaluate.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log_softmax.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "comm/gather.hpp"
#include "eval/eval_head.hpp"
#include "eval/text_forward.hpp"

namespace bitmill {
namespace {

// The sums of one window. Sent between ranks as bytes.
struct WindowScore {
  double nll = 0;   // sum over its predictions, nats
  double kl = 0;    // sum over its predictions
  double top1 = 0;  // predictions that agree

  void add(const WindowScore& other) {
    nll += other.nll;
    kl += other.kl;
    top1 += other.top1;
  }
};

// The windows of one rank: [first, last).
struct Share {
  int64_t first;
  int64_t last;
  int64_t count() const { return last - first; }
};

Share share_of(const Communicator& comm, int64_t windows) {
  return {windows * comm.rank() / comm.size(), windows * (comm.rank() + 1) / comm.size()};
}

std::span<const float> values(const at::Tensor& vector) {
  return {vector.const_data_ptr<float>(), static_cast<size_t>(vector.size(0))};
}

// The index of the largest logit; of equal ones the first.
int64_t most_likely(std::span<const float> logits) {
  return std::ranges::max_element(logits) - logits.begin();
}

// KL(p || q) = sum over v of p_v (log p_v - log q_v).
double kl_divergence(std::span<const float> p, std::span<const float> log_p,
                     std::span<const float> log_q) {
  double sum = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    // A probability that float32 rounds to 0 may have an infinite logarithm: skip it. A NaN is not
    // skipped: it must reach the result.
    if (p[v] != 0) sum += double{p[v]} * (double{log_p[v]} - double{log_q[v]});
  }
  return sum;
}

// One prediction. logits, reference_logits (may be undefined): [vocab].
WindowScore score_prediction(const at::Tensor& logits, const at::Tensor& reference_logits,
                             int32_t target) {
  const at::Tensor log_q = at::log_softmax(logits, -1);
  WindowScore score{.nll = -double{values(log_q)[target]}};
  if (!reference_logits.defined()) return score;
  const at::Tensor log_p = at::log_softmax(reference_logits, -1);
  score.kl = kl_divergence(values(at::exp(log_p)), values(log_p), values(log_q));
  score.top1 = most_likely(values(logits)) == most_likely(values(reference_logits)) ? 1 : 0;
  return score;
}

class Evaluator {
 public:
  Evaluator(const Windows& windows, Share share, StreamBudget& budget, const Device& device)
      : share_(share), budget_(budget), device_(device), pool_(device.host()) {
    for (int64_t i = share.first; i < share.last; ++i) texts_.push_back(windows.window(i));
  }

  // The last block's outputs for this rank's windows. `part_done` is called as often as the model
  // has blocks.
  std::unique_ptr<TextStreams> forward(const EvalModel& model,
                                       const std::function<void()>& part_done) {
    const TextNames names{"window", share_.first};
    if (model.whole == nullptr) {
      return forward_texts(model.folder, texts_, names, budget_, device_, part_done);
    }
    const ModelConfig& config = model.folder.config();
    auto streams = std::make_unique<TextStreams>(texts_, config.hidden_size, names, budget_);
    for (int64_t part = 0; part < config.blocks; ++part) {
      const int64_t first = share_.count() * part / config.blocks;
      const int64_t last = share_.count() * (part + 1) / config.blocks;
      pool_.parallel_for(last - first, [&](int64_t i) {
        streams->store(first + i, model.whole->forward(texts_[first + i], pool_),
                       config.blocks - 1);
      });
      part_done();
    }
    return streams;
  }

  // `reference` and its stream may be null. One window at a time: all threads work on its logits,
  // so that no thread holds logits of its own.
  std::vector<WindowScore> score(const EvalModel& model, const TextStreams& stream,
                                 const EvalModel* reference, const TextStreams* reference_stream) {
    std::vector<WindowScore> scores(texts_.size());
    if (scores.empty()) return scores;
    const EvalHead head(model, device_);
    const std::optional<EvalHead> reference_head =
        reference ? std::optional<EvalHead>(std::in_place, *reference, device_, head.weights())
                  : std::nullopt;
    for (int64_t i = 0; i < share_.count(); ++i) {
      stream.prefetch(i + 1);
      if (reference) reference_stream->prefetch(i + 1);
      const at::Tensor x = stream.load(i);
      const at::Tensor reference_x = reference ? reference_stream->load(i) : at::Tensor();
      // The last position predicts nothing that is in the window.
      for_pieces(std::ssize(texts_[i]) - 1, rows_at_once, [&](int64_t first, int64_t count) {
        const auto rows = [&](const at::Tensor& of) { return of.narrow(0, first, count); };
        scores[i].add(
            score_rows(head.logits(rows(x)),
                       reference ? reference_head->logits(rows(reference_x)) : at::Tensor(),
                       texts_[i].subspan(first + 1, count)));
      });
    }
    return scores;
  }

 private:
  // logits, reference_logits (may be undefined): [rows, vocab]; row t predicts targets[t].
  WindowScore score_rows(const at::Tensor& logits, const at::Tensor& reference_logits,
                         std::span<const int32_t> targets) {
    std::vector<WindowScore> rows(targets.size());
    pool_.parallel_for(std::ssize(rows), [&](int64_t t) {
      const at::Tensor reference_row =
          reference_logits.defined() ? reference_logits.select(0, t) : at::Tensor();
      rows[t] = score_prediction(logits.select(0, t), reference_row, targets[t]);
    });
    WindowScore sum;
    for (const WindowScore& row : rows) sum.add(row);
    return sum;
  }

  const Share share_;
  StreamBudget& budget_;
  const Device& device_;
  ThreadPool& pool_;
  std::vector<TextIds> texts_;  // the windows of this rank
};

Evaluation summarize(const std::vector<WindowScore>& scores, int64_t seq_len, bool has_reference) {
  const auto windows = static_cast<int64_t>(scores.size());
  const int64_t predictions = seq_len - 1;  // per window
  double nll = 0;                           // sum over windows of the window's mean
  Divergence divergence;
  for (int64_t w = 0; w < windows; ++w) {
    BITMILL_CHECK(std::isfinite(scores[w].nll) && std::isfinite(scores[w].kl), NumericError,
                  fmt::format("the loss of evaluation window {} is not finite (sum of NLL {}, of "
                              "KL {}); the model overflows float32, or is damaged",
                              w, scores[w].nll, scores[w].kl));
    nll += scores[w].nll / static_cast<double>(predictions);
    divergence.kl += scores[w].kl;
    divergence.top1 += scores[w].top1;
  }
  Evaluation result{.perplexity = std::exp(nll / static_cast<double>(windows)),
                    .tokens = windows * predictions,
                    .windows = windows,
                    .seq_len = seq_len,
                    .divergence = std::nullopt};
  if (has_reference) {
    divergence.kl /= static_cast<double>(result.tokens);
    divergence.top1 /= static_cast<double>(result.tokens);
    result.divergence = divergence;
  }
  return result;
}

void check_arguments(const SourceModel& model, const SourceModel* reference,
                     const Windows& windows) {
  BITMILL_CHECK(windows.count >= 1 && windows.seq_len >= 2, UsageError,
                fmt::format("an evaluation needs at least one window of two tokens; there are {} "
                            "of {}; see --seq-len and --max-windows",
                            windows.count, windows.seq_len));
  const int64_t vocab = model.config().vocab_size;
  BITMILL_CHECK(
      reference == nullptr || reference->config().vocab_size == vocab, UsageError,
      fmt::format("{} has a vocabulary of {}, the reference {} one of {}; give a "
                  "reference with the same tokenizer",
                  model.folder(), vocab, reference->folder(), reference->config().vocab_size));
}

}  // namespace

Evaluation evaluate(const EvalModel& model, const SourceModel* reference, const Windows& windows,
                    StreamBudget& budget, Communicator& comm, const Device& device,
                    const EvalProgress& progress) {
  check_arguments(model.folder, reference, windows);
  int64_t done = 0;
  const int64_t total = model.folder.config().blocks + (reference ? reference->config().blocks : 0);
  const auto part_done = [&] {
    ++done;
    if (progress) progress(done, total);
  };
  Evaluator evaluator(windows, share_of(comm, windows.count), budget, device);
  const auto other = reference ? std::optional<EvalModel>(*reference) : std::nullopt;
  const auto stream = evaluator.forward(model, part_done);
  const auto other_stream = other ? evaluator.forward(*other, part_done) : nullptr;
  const auto mine = evaluator.score(model, *stream, other ? &*other : nullptr, other_stream.get());
  return summarize(gather_joined<WindowScore>(comm, mine), windows.seq_len, reference != nullptr);
}

}  // namespace bitmill
