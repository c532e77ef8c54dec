#include "format/packed_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/pieces.hpp"
#include "format/config_file.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/packed_seal.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

class Progress {
 public:
  Progress(const std::function<void(int64_t, int64_t)>& report, int64_t total)
      : report_(report), total_(total) {}
  void add(int64_t bytes) {
    done_ += bytes;
    if (report_) report_(done_, total_);
  }

 private:
  const std::function<void(int64_t, int64_t)>& report_;
  int64_t total_, done_ = 0;
};

std::string hash_of(const SafetensorsFile& shard, const TensorInfo& info, Progress& progress) {
  Hasher hasher;
  std::vector<std::byte> buffer(std::min(info.bytes, bytes_per_piece));
  for_pieces(info.bytes, bytes_per_piece, [&](int64_t first, int64_t count) {
    const auto piece = std::span(buffer).first(count);
    shard.read_part(info, first, piece);
    hasher.add(piece);
    progress.add(count);
  });
  return hasher.hex();
}

void verify_hashes(const SafetensorsFile& shard, Progress& progress) {
  const auto recorded = shard.metadata().find(hashes_key);
  const std::string where = fmt::format("{}: the metadata \"{}\"", shard.path(), hashes_key);
  BITMILL_CHECK(recorded != shard.metadata().end(), FormatError, where + " is missing");
  const json hashes = parse_json(recorded->second, where);
  BITMILL_CHECK(hashes.is_object() && hashes.size() == shard.tensors().size(), FormatError,
                fmt::format("{} must be an object with a hash for each of {} tensors", where,
                            shard.tensors().size()));
  for (const auto& [name, info] : shard.tensors()) {
    const std::string expected = json_string(hashes, name.c_str(), where);
    const std::string found = hash_of(shard, info, progress);
    BITMILL_CHECK(found == expected, FormatError,
                  fmt::format("{}: tensor \"{}\" is damaged: its bytes hash to {}, and {} was "
                              "recorded when it was written",
                              shard.path(), name, found, expected));
  }
}

int64_t packed_bytes(const TensorFolder& tensors, const std::string& name) {
  int64_t bytes = 0;
  for (const PackedPart& part : packed_parts()) bytes += tensors.info(name + part.suffix).bytes;
  return bytes;
}

}  // namespace

bool is_packed_folder(Files& files, const std::string& folder) {
  const json config = read_config_json(files, folder);
  const std::string path = join_path(folder, "config.json");
  const auto it = config.find("quantization_config");
  if (it == config.end() || it->is_null()) return false;
  const std::string where = path + ": quantization_config";
  const std::string method = json_string(*it, "quant_method", where);
  BITMILL_CHECK(method == quant_method, FormatError,
                fmt::format("{}: the model is quantized with \"{}\"; this program reads \"{}\" and "
                            "models that are not quantized",
                            where, method, quant_method));
  const int64_t version = json_int(*it, "version", where);
  BITMILL_CHECK(version == packed::format_version, FormatError,
                fmt::format("{}: packed format version {}; this program reads version {}: use the "
                            "program that wrote it, or a newer one",
                            where, version, packed::format_version));
  return true;
}

void verify_packed_folder(Files& files, const std::string& folder,
                          const std::function<void(int64_t, int64_t)>& progress) {
  BITMILL_CHECK(is_packed_folder(files, folder), FormatError,
                folder + " is not a packed model: its config.json has no quantization_config");
  const TensorFolder tensors(files, folder);
  check_seal(files, tensors);
  std::map<std::string, PackedShape> linears;
  int64_t total = tensors.tensor_bytes();
  for (const std::string& name : packed_names(tensors)) {
    linears.emplace(name, read_packed_shape(tensors, name));
    BITMILL_CHECK(!tensors.contains(name), FormatError,
                  fmt::format("{} holds \"{}\" twice, packed and as it was", folder, name));
    total += packed_bytes(tensors, name);
  }
  Progress so_far(progress, total);
  for (const auto& shard : tensors.shards()) verify_hashes(*shard, so_far);
  for (const auto& [name, shape] : linears) {
    read_packed_linear(tensors, name, shape.rows, shape.cols);
    so_far.add(packed_bytes(tensors, name));
  }
}

}  // namespace bitmill
