#pragma once
// How many bytes the files of a block take in the run folder.

#include <cstdint>

#include "model/config.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// Bytes of the largest of these files after a whole epoch, as LiveBlock::save() writes it. The
// header and the losses of an unfinished epoch are too small to count.
int64_t live_file_bytes(const QuantizeOptions& options, const ModelConfig& config);

// The largest trial save: a larger one would only take time.
inline constexpr int64_t most_rehearsed_bytes = int64_t{16} << 20;
// Bytes of the trial save of a start: the size of the longest file that the run will write (a
// block's packed tensors, packed_bytes, or its state), at most most_rehearsed_bytes. A stop in the
// middle of an epoch saves the latents without rounding, so they count as float32.
int64_t rehearsal_bytes(const QuantizeOptions& options, const ModelConfig& config,
                        int64_t packed_bytes);

}  // namespace bitmill
