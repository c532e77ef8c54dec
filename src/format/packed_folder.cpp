#include "format/packed_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
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
    if (report_ && bytes > 0) report_(done_, total_);
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

// The hash of a tensor's bytes as its file records it.
struct RecordedHash {
  std::string file;
  std::string hash;
};

// Of all tensors, by name.
std::map<std::string, RecordedHash> recorded_hashes(const TensorFolder& tensors) {
  std::map<std::string, RecordedHash> all;
  for (const auto& shard : tensors.shards()) {
    const auto recorded = shard->metadata().find(hashes_key);
    const std::string where = fmt::format("{}: the metadata \"{}\"", shard->path(), hashes_key);
    BITMILL_CHECK(recorded != shard->metadata().end(), FormatError, where + " is missing");
    const json hashes = parse_json(recorded->second, where);
    BITMILL_CHECK(hashes.is_object() && hashes.size() == shard->tensors().size(), FormatError,
                  fmt::format("{} must be an object with a hash for each of {} tensors", where,
                              shard->tensors().size()));
    for (const auto& [name, info] : shard->tensors()) {
      all[name] = {shard->path(), json_string(hashes, name.c_str(), where)};
    }
  }
  return all;
}

// Of all packed linears, by name.
std::map<std::string, PackedShape> packed_shapes(const TensorFolder& tensors) {
  std::map<std::string, PackedShape> shapes;
  for (const std::string& name : packed_names(tensors)) {
    shapes.emplace(name, read_packed_shape(tensors, name));
    BITMILL_CHECK(
        !tensors.contains(name), FormatError,
        fmt::format("{} holds \"{}\" twice, packed and not packed", tensors.path(), name));
  }
  return shapes;
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

std::vector<std::string> recorded_allowed_keys(const json& config) {
  const json::json_pointer place("/quantization_config/bitmill/allowed_keys");
  std::vector<std::string> keys;
  if (!config.contains(place)) return keys;
  const json& list = config.at(place);
  const bool is_list = list.is_array() && std::ranges::all_of(list, &json::is_string);
  BITMILL_CHECK(is_list, FormatError,
                fmt::format("config.json: quantization_config.bitmill.allowed_keys must be a list "
                            "of names, and is {}",
                            list.dump()));
  for (const json& key : list) keys.push_back(key.get<std::string>());
  return keys;
}

std::map<std::string, std::string> verify_packed_folder(
    Files& files, const std::string& folder,
    const std::function<void(int64_t, int64_t)>& progress) {
  BITMILL_CHECK(is_packed_folder(files, folder), FormatError,
                folder + " is not a packed model: its config.json has no quantization_config");
  const TensorFolder tensors(files, folder);
  check_seal(files, tensors);
  const std::map<std::string, PackedShape> linears = packed_shapes(tensors);
  const std::map<std::string, RecordedHash> recorded = recorded_hashes(tensors);
  std::map<std::string, std::string> found;
  const auto compare = [&](const std::string& name, const std::string& hash) {
    const auto& [file, expected] = recorded.at(name);
    BITMILL_CHECK(hash == expected, FormatError,
                  fmt::format("{}: tensor \"{}\" is damaged: its bytes hash to {}, and {} was "
                              "recorded when it was written",
                              file, name, hash, expected));
    found[name] = hash;
  };
  Progress so_far(progress, tensors.tensor_bytes());
  for (const auto& [linear, shape] : linears) {
    read_packed_linear(tensors, linear, shape.rows, shape.cols,
                       [&](const std::string& part, std::span<const std::byte> bytes) {
                         compare(part, hash_hex(bytes));
                         so_far.add(std::ssize(bytes));
                       });
  }
  for (const auto& shard : tensors.shards()) {
    for (const auto& [name, info] : shard->tensors()) {
      if (!found.contains(name)) compare(name, hash_of(*shard, info, so_far));
    }
  }
  return found;
}

}  // namespace bitmill
