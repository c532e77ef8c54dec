#pragma once
// The model card of a folder that bitmill makes: README.md, as Hugging Face reads it. The same
// facts give the same text: no date, no machine, no path.

#include <cstdint>
#include <optional>
#include <string>

#include "format/handover/source_card.hpp"

namespace bitmill {

struct CardFacts {
  // The 16-bit model: the name of its folder, and, where it is known, its name on the Hugging Face
  // Hub. Both may be empty.
  std::string base_name, hub_id;
  bool preprocessed = false;  // it was packed after bitmill preprocess
  SourceCard source;
  std::string version;      // of the bitmill that packed it
  std::string recipe;       // empty: not recorded
  std::string calibration;  // "64 windows of 256 tokens, 20 epochs"; empty: not recorded
  std::string left_out;     // what was not packed though it could be; empty: nothing
  int64_t linears = 0;      // packed
  double bits_per_weight = 0, bits_per_parameter = 0;
  int64_t file_bytes = 0;  // of this folder's tensors
  struct Tuning {
    int64_t epochs = 0, kept_epoch = 0;
    double kl_before = 0, kl_after = 0;  // nats, on windows that were held out
  };
  std::optional<Tuning> tuning;
  struct Measured {
    std::string text;              // the file's name
    std::string windows, seq_len;  // numbers; empty: not recorded
    double perplexity_original = 0, perplexity = 0;
    std::optional<double> kl, top1;  // nats, and a ratio
  };
  std::optional<Measured> measured;  // after it was made
  // Set in a folder that was exported: the type of its linears. The two figures of bits are then
  // those of the packed folder.
  std::string exported_dtype;
};

std::string model_card(const CardFacts& facts);

}  // namespace bitmill
