#pragma once
// Every setting of `tune`, resolved.

#include <cstdint>
#include <string>

#include "method/settings.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

struct TuneOptions {
  std::string model;       // packed folder
  std::string reference;   // the 16-bit folder it was made from
  std::string output_dir;  // made by the job; may exist when empty
  std::string calib;       // .txt, .jsonl or token file
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory

  int64_t samples = 128;
  bool samples_by_hand = true;  // as in QuantizeOptions
  int64_t seq_len = 0;          // 0: as there
  int epochs = 6;
  int64_t batch = 4;
  double rate = 2e-3;          // of every factor; falls to 0 along a cosine
  ExactRatio held_out{1, 10};  // of the windows, at least one; of a text, from its last part
  uint64_t seed = 0;
  std::string backend = "cpu";

  int stages = 1;             // groups of ranks that share the depth
  int64_t stream_memory = 0;  // bytes on this rank; 0: no limit
  Resume resume = Resume::automatic;
  bool allow_mixed_hardware = false;
};

}  // namespace bitmill
