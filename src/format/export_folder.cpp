#include "format/export_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"
#include "format/companions.hpp"
#include "format/config_file.hpp"
#include "format/folder_card.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "format/partial_folder.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr float rounds_to_infinity = 65520.0F;  // the smallest number that rounds to infinity

std::vector<std::byte> converted(const std::vector<float>& values, Dtype dtype,
                                 const std::string& name) {
  const auto large = std::find_if(values.begin(), values.end(), [](float value) {
    return std::fabs(value) >= rounds_to_infinity;
  });
  BITMILL_CHECK(
      dtype != Dtype::float16 || large == values.end(), NumericError,
      fmt::format("\"{}\" holds {}, which float16 cannot hold; export to bfloat16 or float32", name,
                  *large));
  std::vector<std::byte> raw(std::ssize(values) * dtype_bytes(dtype));
  from_float32(dtype, values, raw);
  return raw;
}

TensorSource unpacked_source(const TensorFolder& tensors, const std::string& name, Dtype dtype) {
  const PackedShape shape = read_packed_shape(tensors, name);
  const auto produce = [&tensors, name, dtype, shape](const ByteSink& sink) {
    const auto linear = read_packed_linear(tensors, name, shape.rows, shape.cols);
    sink(converted(dequantize(linear), dtype, name));
  };
  return {name, dtype, {shape.rows, shape.cols}, produce};
}

TensorSource other_source(const TensorFolder& tensors, const std::string& name, Dtype dtype) {
  const TensorInfo& info = tensors.info(name);
  if (dtype == Dtype::float32 && is_float(info.dtype)) {
    const auto widen = [&tensors, name](const ByteSink& sink) {
      sink(converted(tensors.read_float32(name), Dtype::float32, name));
    };
    return {name, Dtype::float32, info.shape, widen};
  }
  return {name, info.dtype, info.shape, copy_of(tensors, name)};
}

// The sources hold a reference to `tensors`, which must outlive them.
std::vector<TensorSource> export_sources(const TensorFolder& tensors, Dtype dtype) {
  std::vector<TensorSource> sources;
  std::vector<std::string> parts;
  for (const std::string& name : packed_names(tensors)) {
    BITMILL_CHECK(
        !tensors.contains(name), FormatError,
        fmt::format("{} holds \"{}\" twice, packed and not packed", tensors.path(), name));
    sources.push_back(unpacked_source(tensors, name, dtype));
    for (const PackedPart& part : packed_parts()) parts.push_back(name + part.suffix);
  }
  std::sort(parts.begin(), parts.end());
  for (const std::string& name : tensors.names()) {
    if (std::binary_search(parts.begin(), parts.end(), name)) continue;
    sources.push_back(other_source(tensors, name, dtype));
  }
  std::sort(sources.begin(), sources.end(),
            [](const TensorSource& a, const TensorSource& b) { return a.name < b.name; });
  return sources;
}

std::string exported_config(Files& files, const std::string& from, Dtype dtype) {
  json config = read_config_json(files, from);
  remove_loading_keys(config);
  config.erase("quantization_config");
  // transformers 4 writes "torch_dtype", transformers 5 "dtype". Both versions read both keys.
  const bool newer = config.contains("dtype");
  if (newer) config["dtype"] = dtype_word(dtype);
  if (!newer || config.contains("torch_dtype")) config["torch_dtype"] = dtype_word(dtype);
  return config.dump(2) + "\n";
}

void check_space(Files& files, const std::string& folder,
                 const std::vector<TensorSource>& sources) {
  int64_t needed = 0;
  for (const TensorSource& source : sources) needed += source.bytes();
  const int64_t free = files.free_bytes(folder);
  BITMILL_CHECK(
      needed <= free, FileError,
      fmt::format("the exported tensors take {} bytes, and {} has {} free; free some space "
                  "or choose another folder",
                  needed, folder, free));
}

void fill_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                 int64_t max_shard_bytes) {
  const TensorFolder tensors(files, from);
  const std::vector<TensorSource> sources = export_sources(tensors, dtype);
  check_space(files, to, sources);
  copy_companion_files(files, from, to);
  write_shards(files, to, sources, {{"format", "pt"}}, max_shard_bytes);
  replace_file(files, join_path(to, "config.json"), exported_config(files, from, dtype));
  complete_exported_folder(files, from, to, dtype);
}

}  // namespace

void export_folder(Files& files, const std::string& from, const std::string& to, Dtype dtype,
                   int64_t max_shard_bytes) {
  BITMILL_CHECK(is_float(dtype), UsageError, "export to float16, bfloat16 or float32");
  BITMILL_CHECK(is_packed_folder(files, from), UsageError,
                from + " is not a packed model: there is nothing to export");
  PartialFolder partial(files, to);
  fill_folder(files, from, partial.path(), dtype, max_shard_bytes);
  partial.commit();
}

}  // namespace bitmill
