#pragma once
// Writes safetensors files: one, or shards with an index.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// The metadata key under which write_shards() leaves the hash of every tensor.
inline constexpr const char* hashes_key = "bitmill.hashes";

using ByteSink = std::function<void(std::span<const std::byte>)>;

// What is copied from a file goes in pieces of at most so many bytes: an embedding of 100,000 rows
// is never in memory as a whole.
inline constexpr int64_t bytes_per_piece = int64_t{16} << 20;

// A tensor to be written. `produce` hands its bytes to the sink when its turn comes, in order, in
// one piece or in several, so that no more than a piece of one tensor is in memory at a time; they
// must be exactly elements * dtype_bytes(dtype) in all.
struct TensorSource {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink&)> produce;

  int64_t bytes() const;
};

// For TensorSource::produce: a tensor as it is, of a folder that must outlive it, or of a file.
std::function<void(const ByteSink&)> copy_of(const TensorFolder& tensors, const std::string& name);
std::function<void(const ByteSink&)> copy_of(std::shared_ptr<const SafetensorsFile> file,
                                             const std::string& name);

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
