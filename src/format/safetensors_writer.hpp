#pragma once
// Writes safetensors files: a single one, or shards with an index.

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

// The metadata key under which write_shards() writes the hash of every tensor.
inline constexpr const char* hashes_key = "bitmill.hashes";

using ByteSink = std::function<void(std::span<const std::byte>)>;

// Tensors are copied from a file in pieces of at most so many bytes: so an embedding of 100,000
// rows is never in memory as a whole.
inline constexpr int64_t bytes_per_piece = int64_t{16} << 20;

// A tensor to be written. The writer calls `produce` when it comes to the tensor. `produce` gives
// the bytes to the sink, in order, in one piece or in several, so that only one piece is in memory
// at a time. They must be exactly elements * dtype_bytes(dtype) bytes in all.
struct TensorSource {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink&)> produce;

  int64_t bytes() const;
};

// For TensorSource::produce: an unchanged tensor of a file, or of a folder that must outlive it.
std::function<void(const ByteSink&)> copy_of(const TensorFolder& tensors, const std::string& name);
std::function<void(const ByteSink&)> copy_of(std::shared_ptr<const SafetensorsFile> file,
                                             const std::string& name);

// Writes one file, tensors in the given order, data aligned to 64 bytes; then syncs and closes it.
// Does not rename it: the caller chooses a path that nobody reads yet. The bytes of the file depend
// on the arguments only.
void write_safetensors(Files& files, const std::string& path,
                       const std::vector<TensorSource>& tensors,
                       const std::map<std::string, std::string>& metadata);

// Writes into an existing folder: model.safetensors when all tensors fit into `max_shard_bytes`,
// otherwise model-00001-of-0000N.safetensors and model.safetensors.index.json. The limit counts
// tensor bytes. A tensor is never split; one that is larger than the limit gets a shard of its own.
// The shards take the tensors in the given order. Every shard's metadata holds `metadata` and
// "bitmill.hashes": a JSON object from tensor name to hash_hex() of its bytes, which readers of
// packed folders verify.
void write_shards(Files& files, const std::string& folder, const std::vector<TensorSource>& tensors,
                  const std::map<std::string, std::string>& metadata, int64_t max_shard_bytes);

}  // namespace bitmill
