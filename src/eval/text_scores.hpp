#pragma once
// How likely the ends of texts are, over ranks.

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "eval/evaluate.hpp"
#include "eval/task_texts.hpp"
#include "eval/whole_model.hpp"
#include "model/sample_stream.hpp"

namespace bitmill {

// Sent between ranks as bytes.
struct TextScore {
  double log_likelihood = 0;  // of the scored tokens: the sum, nats
  int64_t greedy = 0;         // 1: each of them is the most likely one at its place
};

// Collective. The scores of all texts, in their order, on every rank: the same for any number of
// ranks and threads, as a text is computed by itself. Ranks get neighbouring texts of about as many
// tokens. Memory as evaluate(). A score may be not finite. REQUIRES: ids in the vocabulary, and
// texts that the model can read without their last token.
std::vector<TextScore> score_texts(const EvalModel& model, std::span<const ScoredText> texts,
                                   StreamBudget& budget, Communicator& comm, const Device& device,
                                   const EvalProgress& progress);

}  // namespace bitmill
