#pragma once
// Quality of a model folder, 16-bit or packed: perplexity over windows, and how far its next-token
// distributions are from those of a reference model. Windows are spread over ranks and threads.
// Sums are made in the order of the windows, so figures do not depend on the number of either.

#include <cstdint>
#include <functional>
#include <optional>

#include "comm/communicator.hpp"
#include "data/windows.hpp"
#include "device/device.hpp"
#include "eval/whole_model.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"

namespace bitmill {

struct Divergence {
  double kl = 0;    // mean over predictions of KL(reference || model), nats
  double top1 = 0;  // ratio of predictions whose most likely token is that of the reference
};

struct Evaluation {
  double perplexity = 0;  // exp of the mean over windows of their mean NLL (METHOD.md)
  int64_t tokens = 0;     // predictions scored: windows * (seq_len - 1)
  int64_t windows = 0;
  int64_t seq_len = 0;
  std::optional<Divergence> divergence;
};

// Parts that are done, and all; called on every rank. A part is a block, for all texts of a rank;
// of a whole model, which is not computed block by block, it is an equal share of the texts.
using EvalProgress = std::function<void(int64_t, int64_t)>;

// Collective. Each rank holds in memory one block of one model at a time; after the blocks, the
// heads (norm and [vocab, hidden] float32) of both models and the logits of 128 positions of one
// window, for any number of threads. `budget` bounds the activations. `reference` may be null; it
// must have the same vocabulary (UsageError). NumericError names the window whose loss is not
// finite.
Evaluation evaluate(const EvalModel& model, const SourceModel* reference, const Windows& windows,
                    StreamBudget& budget, Communicator& comm, const Device& device,
                    const EvalProgress& progress);

}  // namespace bitmill
