#include "pipeline/folder/source_hashes.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/pieces.hpp"
#include "comm/gather.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

constexpr size_t hash_digits = 32;
constexpr int64_t bytes_per_read = int64_t{4} << 20;

// Widened in small parts, because float32 takes twice the bytes of 16-bit values.
bool all_finite(Dtype dtype, std::span<const std::byte> raw) {
  const auto width = static_cast<size_t>(dtype_bytes(dtype));
  std::array<float, 4096> room;
  while (!raw.empty()) {
    const std::span values = std::span(room).first(std::min(room.size(), raw.size() / width));
    to_float32(dtype, raw.first(values.size() * width), values);
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
      return false;
    raw = raw.subspan(values.size() * width);
  }
  return true;
}

// Hashes a tensor's bytes, read in pieces. NumericError when a value is not finite.
std::string checked_hash(const TensorFolder& tensors, const std::string& name) {
  const TensorInfo& info = tensors.info(name);
  Hasher hasher;
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(info.bytes, bytes_per_read)));
  for_pieces(info.bytes, bytes_per_read, [&](int64_t first, int64_t count) {
    const auto piece = std::span(buffer).first(static_cast<size_t>(count));
    tensors.read_part(name, first, piece);
    hasher.add(piece);
    // read_float32() throws an error that names the element.
    if (is_float(info.dtype) && !all_finite(info.dtype, piece)) tensors.read_float32(name);
  });
  return hasher.hex();
}

bool belongs_to(const SourceModel& model, int64_t block, const std::string& tensor) {
  return tensor.starts_with(block_tensor(model.config(), block, ""));
}

}  // namespace

std::vector<std::string> tensors_of_block(const SourceModel& model, int64_t block) {
  std::vector<std::string> names = model.tensors().names();
  std::erase_if(names, [&](const std::string& name) { return !belongs_to(model, block, name); });
  return names;
}

std::vector<std::string> tensors_outside(const SourceModel& model, int64_t blocks) {
  std::set<std::string> inside;
  for (int64_t block = 0; block < blocks; ++block) {
    const std::vector<std::string> names = tensors_of_block(model, block);
    inside.insert(names.begin(), names.end());
  }
  std::vector<std::string> names = model.tensors().names();
  std::erase_if(names, [&](const std::string& name) { return inside.contains(name); });
  return names;
}

TensorHashes hash_tensors(const SourceModel& model, const std::vector<std::string>& names,
                          ThreadPool& pool) {
  std::vector<std::string> hashes(names.size());
  pool.parallel_for(std::ssize(names), [&](int64_t i) {
    hashes[static_cast<size_t>(i)] = checked_hash(model.tensors(), names[static_cast<size_t>(i)]);
  });
  TensorHashes all;
  for (size_t i = 0; i < names.size(); ++i) all[names[i]] = hashes[i];
  return all;
}

TensorHashes hash_together(const SourceModel& model, const std::vector<std::string>& names,
                           Communicator& comm, ThreadPool& pool) {
  const auto ranks = static_cast<size_t>(comm.size()), rank = static_cast<size_t>(comm.rank());
  std::vector<std::string> own;
  for (size_t i = rank; i < names.size(); i += ranks) own.push_back(names[i]);
  const TensorHashes mine = hash_tensors(model, own, pool);
  std::string digits;
  for (const std::string& name : own) digits += mine.at(name);
  const std::vector<std::string> parts = gather_texts(comm, digits);
  TensorHashes all;
  for (size_t i = 0; i < names.size(); ++i) {
    all[names[i]] = parts[i % ranks].substr(i / ranks * hash_digits, hash_digits);
  }
  return all;
}

std::string combined_hash(const TensorHashes& hashes) {
  Hasher hasher;
  for (const auto& [name, hash] : hashes) {
    hasher.add_text(name);
    hasher.add(std::as_bytes(std::span(hash)));
  }
  return hasher.hex();
}

void check_same_everywhere(const TensorHashes& hashes, const std::string& folder,
                           Communicator& comm) {
  const std::vector<std::string> all = gather_texts(comm, combined_hash(hashes));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    BITMILL_CHECK(all[rank] == all[0], UsageError,
                  fmt::format("rank {} and rank 0 have different packed models in {}: the copies "
                              "on their hosts differ; copy it anew",
                              rank, folder));
  }
}

SourceGuard::SourceGuard(const SourceModel& model, Communicator& comm, ThreadPool& pool,
                         RunDir* run_dir)
    : model_(model), comm_(comm), pool_(pool), run_dir_(run_dir) {}

void SourceGuard::check_again(int block, const TensorHashes& read) const {
  const TensorHashes& checked = known_.at(block);
  for (const auto& [name, hash] : read) {
    BITMILL_CHECK(checked.at(name) == hash, UsageError,
                  fmt::format("rank {} read another \"{}\" from {} than earlier in this start: the "
                              "model was changed while the job ran; put it back as it was, and "
                              "start again",
                              comm_.job_rank(comm_.rank()), name, model_.folder()));
  }
}

void SourceGuard::read_block(int block, const TensorHashes& read) {
  if (known_.contains(block)) return check_again(block, read);
  // Every rank reads all of it, because hosts may have copies of their own.
  std::vector<std::string> others = tensors_of_block(model_, block);
  std::erase_if(others, [&](const std::string& name) { return read.contains(name); });
  TensorHashes mine = hash_tensors(model_, others, pool_);
  mine.insert(read.begin(), read.end());
  known_[block] = mine;
  const std::string hash = combined_hash(mine);
  const auto all = gather_texts(comm_, hash);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    BITMILL_CHECK(all[rank] == all[0], UsageError,
                  fmt::format("rank {} and rank {} read different weights of block {} from {}: the "
                              "copies of the model on their hosts differ; copy it anew",
                              comm_.job_rank(static_cast<int>(rank)), comm_.job_rank(0), block,
                              model_.folder()));
  }
  if (run_dir_ != nullptr) run_dir_->keep_source(block, mine);
}

std::string kept_source_hash(const RunState& state, int64_t blocks) {
  TensorHashes all = state.source(outside_blocks);
  for (int64_t block = 0; block < blocks; ++block) {
    all.merge(state.source(static_cast<int>(block)));
  }
  return combined_hash(all);
}

}  // namespace bitmill
