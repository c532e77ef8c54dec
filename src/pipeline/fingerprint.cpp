#include "pipeline/fingerprint.hpp"

#include <ATen/Version.h>
#include <cpuid.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr size_t hash_digits = 32;

std::string hash_shapes(const TensorFolder& tensors) {
  Hasher hasher;
  for (const std::string& name : tensors.names()) {
    const TensorInfo& info = tensors.info(name);
    hasher.add_text(name);
    hasher.add_text(info.dtype_text);
    hasher.add(std::as_bytes(std::span(info.shape)));
  }
  return hasher.hex();
}

constexpr int64_t bytes_per_read = int64_t{4} << 20;

bool all_finite(Dtype dtype, std::span<const std::byte> raw) {
  std::vector<float> values(raw.size() / static_cast<size_t>(dtype_bytes(dtype)));
  to_float32(dtype, raw, values);
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

// The hash of a tensor's bytes, read in pieces.
std::string checked_hash(const TensorFolder& tensors, const std::string& name) {
  const TensorInfo& info = tensors.info(name);
  Hasher hasher;
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(info.bytes, bytes_per_read)));
  for (int64_t first = 0; first < info.bytes; first += bytes_per_read) {
    const auto piece =
        std::span(buffer).first(static_cast<size_t>(std::min(info.bytes - first, bytes_per_read)));
    tensors.read_part(name, first, piece);
    hasher.add(piece);
    // Reading it as floats says which element it is.
    if (is_float(info.dtype) && !all_finite(info.dtype, piece)) tensors.read_float32(name);
  }
  return hasher.hex();
}

std::string processor() {
  std::array<unsigned, 4> r = {};
  std::array<char, 13> vendor = {};
  __get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
  std::memcpy(vendor.data(), &r[1], 4);
  std::memcpy(vendor.data() + 4, &r[3], 4);
  std::memcpy(vendor.data() + 8, &r[2], 4);
  __get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
  // Family and model with their extensions, as the processor manuals combine them.
  const unsigned family = ((r[0] >> 8) & 15U) + ((r[0] >> 20) & 255U);
  const unsigned model = ((r[0] >> 4) & 15U) | (((r[0] >> 16) & 15U) << 4U);
  return fmt::format("{} family {} model {}", vendor.data(), family, model);
}

}  // namespace

std::string make_fingerprint(const QuantizeOptions& options, const SourceModel& model,
                             const Windows& windows) {
  const ModelConfig& config = model.config();
  const json fingerprint = {
      {"arithmetic_version", arithmetic_version},
      {"format_version", packed::format_version},
      {"model",
       {{"architecture", std::string(config.family->architecture)},
        {"blocks", config.blocks},
        {"hidden_size", config.hidden_size},
        {"intermediate_size", config.intermediate_size},
        {"heads", config.heads},
        {"kv_heads", config.kv_heads},
        {"head_dim", config.head_dim},
        {"norm_epsilon", config.norm_epsilon},
        {"rope_theta", config.rope_theta},
        {"tensors", hash_shapes(model.tensors())}}},
      {"windows", windows.hash()},
      {"samples", windows.count},
      {"seq_len", windows.seq_len},
      {"epochs", options.epochs},
      {"batch", options.batch},
      {"lag", options.lag},
      {"salient_ratio", options.method.salient_ratio.text()},
      {"saliency", options.method.saliency == Saliency::max ? "max" : "mean"},
      {"int4_range", options.method.int4_range == Int4Range::row ? "row" : "salient"},
      {"lr_scale", options.method.lr_scale},
      {"lr_gain", options.method.lr_gain},
      {"backend", options.backend},
      {"stream_dtype", "float32"},
      {"ignore", options.ignore},
      {"max_blocks", options.max_blocks},
  };
  return fingerprint.dump();
}

std::string numerics_class(const std::string& backend) {
  return fmt::format("{}, float32, libtorch {}, {}, {}", backend, TORCH_VERSION, processor(),
                     at::get_cpu_capability());
}

std::string agreed_numerics_class(const std::string& backend, Communicator& comm) {
  const std::string mine = numerics_class(backend);
  const auto all = gather_everywhere(comm, std::as_bytes(std::span(mine)));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const std::string theirs(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
    const std::string first(reinterpret_cast<const char*>(all[0].data()), all[0].size());
    BITMILL_CHECK(
        theirs == first, UsageError,
        fmt::format("the ranks would not compute the same bits: rank 0 is \"{}\", rank {} "
                    "is \"{}\"; run on machines of one kind",
                    first, rank, theirs));
  }
  return mine;
}

std::string hash_source(const SourceModel& model, Communicator& comm, ThreadPool& pool) {
  const TensorFolder& tensors = model.tensors();
  const std::vector<std::string> names = tensors.names();
  const auto ranks = static_cast<size_t>(comm.size()), rank = static_cast<size_t>(comm.rank());
  std::vector<std::string> own;
  for (size_t i = rank; i < names.size(); i += ranks) own.push_back(names[i]);
  std::vector<std::string> hashes(own.size());
  pool.parallel_for(static_cast<int64_t>(own.size()),
                    [&](int64_t i) { hashes[i] = checked_hash(tensors, own[i]); });
  const std::string digits = fmt::format("{}", fmt::join(hashes, ""));
  const auto parts = gather_everywhere(comm, std::as_bytes(std::span(digits)));
  Hasher hasher;
  for (size_t i = 0; i < names.size(); ++i) {
    hasher.add_text(names[i]);
    hasher.add(std::span(parts[i % ranks]).subspan(i / ranks * hash_digits, hash_digits));
  }
  return hasher.hex();
}

}  // namespace bitmill
