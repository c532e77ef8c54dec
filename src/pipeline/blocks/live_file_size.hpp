#pragma once
// What the files of a block take in the work folder.

#include <cstdint>

#include "model/config.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// Bytes of the largest one after a whole epoch, as LiveBlock::save() writes it; its header and the
// losses of an epoch that is under way are too small to count.
int64_t live_file_bytes(const QuantizeOptions& options, const ModelConfig& config);

// Above this a trial save would only take time.
inline constexpr int64_t most_rehearsed_bytes = int64_t{16} << 20;
// Bytes of the trial save of a start: as long as the longest file that the run will write, which is
// a block's packed tensors (packed_bytes) or its state. A stop in the middle of an epoch saves the
// latents with all their bits.
int64_t rehearsal_bytes(const QuantizeOptions& options, const ModelConfig& config,
                        int64_t packed_bytes);

}  // namespace bitmill
