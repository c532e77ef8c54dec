#pragma once
// Many texts on their way through a model at once, so that every block is loaded once.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "device/device.hpp"
#include "model/rotary.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Tokens of one text; at least one.
using TextIds = std::span<const int32_t>;

// How errors name a text: "window 7" is the text at `first` = 7.
struct TextNames {
  std::string_view unit = "window";
  int64_t first = 0;
};

// The activations of texts, [ids, hidden] each. Texts of one length share a stream.
class TextStreams {
 public:
  // `texts` and the budget must outlive it.
  TextStreams(std::span<const TextIds> texts, int64_t hidden, TextNames names,
              StreamBudget& budget);

  // As those of SampleStream.
  at::Tensor load(int64_t text) const;
  void prefetch(int64_t text) const;
  // `block`: that made the value; -1: the embeddings.
  void store(int64_t text, const at::Tensor& value, int64_t block);

 private:
  struct Place {
    SampleStream* stream;
    int64_t sample;
  };

  TextNames names_;
  std::vector<std::unique_ptr<SampleStream>> streams_;
  std::vector<Place> places_;  // of every text
};

// The last block's outputs, in float32, one block after the other. Reads no block when there are no
// texts. `block_done` is called after every block, also then.
std::unique_ptr<TextStreams> forward_texts(const SourceModel& model, std::span<const TextIds> texts,
                                           TextNames names, StreamBudget& budget,
                                           const Device& device,
                                           const std::function<void()>& block_done);

}  // namespace bitmill
