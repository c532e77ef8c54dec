#pragma once
// Writes safetensors files: one, or shards with an index.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// The metadata key under which write_shards() leaves the hash of every tensor.
inline constexpr const char* hashes_key = "bitmill.hashes";

// A tensor to be written. `produce` returns its bytes when its turn comes, so that only one tensor
// is in memory at a time; they must be exactly elements * dtype_bytes(dtype).
struct TensorSource {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::function<std::vector<std::byte>()> produce;

  int64_t bytes() const;
};

// One file, tensors in the given order, data aligned to 64 bytes, synced and closed. Not renamed:
// the caller chooses a path that nobody reads yet. The bytes depend on the arguments only.
void write_safetensors(Files& files, const std::string& path,
                       const std::vector<TensorSource>& tensors,
                       const std::map<std::string, std::string>& metadata);

// Into an existing folder: model.safetensors when everything fits `max_shard_bytes`, else
// model-00001-of-0000N.safetensors and model.safetensors.index.json. A tensor is never split; one
// that is larger than the limit has a shard of its own; the limit counts tensor bytes. Order and
// grouping follow the given order. Every shard's metadata holds, beside `metadata`,
// "bitmill.hashes": a JSON object from tensor name to hash_hex of its bytes, which readers of
// packed folders verify.
void write_shards(Files& files, const std::string& folder, const std::vector<TensorSource>& tensors,
                  const std::map<std::string, std::string>& metadata, int64_t max_shard_bytes);

}  // namespace bitmill
