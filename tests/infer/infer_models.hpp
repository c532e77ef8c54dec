#pragma once
// Models for the tests of infer: the golden families, packed with random contents, and what a model
// gives without a cache.

#include <ATen/ATen.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/config_file.hpp"
#include "format/packed_model.hpp"
#include "infer/resident_model.hpp"
#include "model/golden_files.hpp"
#include "model/one_thread.hpp"
#include "product/cpu_kernel.hpp"

namespace bitmill::test {

inline std::string golden_model(const std::string& name) {
  return std::string(BITMILL_SOURCE_DIR "/tests/golden/models/") + name;
}

inline ResidentOptions fast_path(Activations activations) {
  return {
      .path = ProductPath::fast, .activations = activations, .kernel = &choose_cpu_kernel("auto")};
}

inline TensorSource copied(const TensorFolder& tensors, const std::string& name) {
  const TensorInfo& info = tensors.info(name);
  return {name, info.dtype, info.shape, [&tensors, name](const ByteSink& sink) {
            std::vector<std::byte> bytes(tensors.info(name).bytes);
            tensors.read(name, bytes);
            sink(bytes);
          }};
}

// A packed folder of the same shape as `source`, with a fifth of the columns salient. Its linears
// are random; all else is the source's.
inline void write_packed_like(Files& files, const SourceModel& source, const std::string& folder) {
  std::vector<TensorSource> tensors;
  std::set<std::string> linears;
  uint64_t seed = 1;
  for (int64_t block = 0; block < source.config().blocks; ++block) {
    for (const LinearShape& shape : block_linears(source.config(), block)) {
      linears.insert(shape.tensor);
      auto packed = std::make_shared<PackedLinear>(
          random_linear(shape.rows, shape.cols, shape.cols / 5, seed++).first);
      for (TensorSource& part : packed_tensors(shape.tensor, packed)) tensors.push_back(part);
    }
  }
  for (const std::string& name : source.tensors().names()) {
    if (!linears.contains(name)) tensors.push_back(copied(source.tensors(), name));
  }
  files.make_directories(folder);
  write_shards(files, folder, tensors, {{"format", "pt"}}, int64_t{1} << 30);
  nlohmann::json config = read_config_json(files, source.folder());
  config["quantization_config"] = {
      {"quant_method", "ptq161"}, {"version", 1}, {"bitmill", {{"seed", 0}}}};
  write_sealed_config(files, folder, config);
}

// Logits [T, vocab] of a text that goes through the model in pieces of these lengths; what is left
// of it goes through at once.
inline at::Tensor cut_logits(const ResidentModel& model, const std::vector<int32_t>& ids,
                             const std::vector<int64_t>& lengths, ThreadPool& pool) {
  Session session(model.config(), std::ssize(ids));
  std::vector<at::Tensor> parts;
  size_t at = 0;
  for (size_t i = 0; at < ids.size(); ++i) {
    const size_t left = ids.size() - at;
    const size_t length = i < lengths.size() ? std::min<size_t>(lengths[i], left) : left;
    const std::span piece(ids.data() + at, length);
    parts.push_back(model.logits(model.forward(session, piece, pool), pool));
    at += length;
  }
  return at::cat(parts);
}

// The largest difference, over the largest of `right`.
inline double difference(const at::Tensor& left, const at::Tensor& right) {
  return ((left - right).abs().max() / right.abs().max()).item<double>();
}

}  // namespace bitmill::test
