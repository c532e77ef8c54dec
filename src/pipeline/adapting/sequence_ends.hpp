#pragma once
// What a walk begins and ends with where a model is trained on a text: token ids at the first
// stage, a loss at the last.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "method/next_token_loss.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "pipeline/tuning/walk_ends.hpp"

namespace bitmill {

using TokenIds = std::vector<int32_t>;

// The text of the training, already cut into sequences of 2 to T ids.
struct TrainingText {
  std::function<TokenIds(int64_t position)> sequence;  // in the order of the training; endless
  std::function<TokenIds(int64_t i)> held_out;
  int64_t held_out_count = 0;
  std::string fingerprint;  // of the text and how it is cut
};

// What judges a sequence, on the last stage; elsewhere both are null. `divergence` needs the
// outputs of the teacher.
struct SequenceLoss {
  const NextTokenLoss* cross_entropy = nullptr;
  const NextTokenDivergence* divergence = nullptr;
};

// Sequences shorter than T are padded with zeros after the embedding: attention is causal, so no
// token sees the padding, and it has no loss.
class SequenceEnds final : public WalkEnds {
 public:
  // `dropout_seed`: of the training; none: no dropout. What is referred to outlives this object;
  // the model's embeddings are needed on the first stage alone.
  SequenceEnds(const SourceModel& model, const SampleShare& share, int64_t seq_len,
               const SequenceLoss& loss, const std::optional<uint64_t>& dropout_seed,
               const Device& device)
      : model_(model),
        share_(share),
        seq_len_(seq_len),
        loss_(loss),
        dropout_seed_(dropout_seed),
        device_(device) {}

  // The number of own sample `own` in the text, of which its dropout follows.
  int64_t sequence_of(int64_t own) const {
    return first_sequence_ + share_.own()[static_cast<size_t>(own)];
  }
  // From here on sample i of the share is sequence first + i of the text; drops the ids of all.
  void begin(int64_t first) {
    first_sequence_ = first;
    held_.clear();
  }
  // Sets the ids of own sample `own`.
  void hold(int64_t own, TokenIds ids) { held_[own] = std::move(ids); }
  const TokenIds& ids(int64_t own) const { return held_.at(own); }
  // The teacher's outputs: that of own sample i is number first + i. Null where none are needed.
  void hold_targets(const SampleStream* targets, int64_t first) {
    targets_ = targets;
    first_target_ = first;
  }

  at::Tensor input(int64_t own) const override;
  double loss(int64_t own, const at::Tensor& output, at::Tensor* gradient) const override;
  Draw draw(int64_t own) const override;

 private:
  const SourceModel& model_;
  const SampleShare& share_;
  const int64_t seq_len_;
  const SequenceLoss loss_;
  const std::optional<uint64_t> dropout_seed_;
  const Device& device_;
  int64_t first_sequence_ = 0;
  std::map<int64_t, TokenIds> held_;
  const SampleStream* targets_ = nullptr;
  int64_t first_target_ = 0;
};

}  // namespace bitmill
