#include "format/tensor_folder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/pieces.hpp"
#include "format/safetensors_header.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using WeightMap = std::map<std::string, std::string>;  // tensor -> shard file

constexpr int64_t elements_per_read = int64_t{1} << 20;
constexpr int64_t bytes_per_comparison = int64_t{1} << 20;

// A shard must be a file in the folder of the index: an index must not make us read other files.
void check_shard_name(const std::string& shard, const std::string& index) {
  const bool plain = shard.find_first_of("/\\") == std::string::npos &&
                     shard.find('\0') == std::string::npos && shard.ends_with(".safetensors");
  BITMILL_CHECK(plain, FormatError,
                fmt::format("{}: the shard \"{}\" must be a *.safetensors file in the same folder",
                            index, shard));
}

WeightMap read_index(Files& files, const std::string& path, const TensorRename& rename) {
  const json index = parse_strict_json(read_text(files, path, longest_header), path);
  const auto it = index.find("weight_map");
  BITMILL_CHECK(index.is_object() && it != index.end() && it->is_object(), FormatError,
                path + ": \"weight_map\" must be an object from tensor name to shard file");
  WeightMap weight_map;
  for (const auto& [tensor, shard] : it->items()) {
    BITMILL_CHECK(shard.is_string(), FormatError,
                  fmt::format("{}: the shard of \"{}\" must be a string", path, tensor));
    check_shard_name(shard.get<std::string>(), path);
    BITMILL_CHECK(weight_map.emplace(rename(tensor), shard.get<std::string>()).second, FormatError,
                  rename.clash(path, rename(tensor)));
  }
  return weight_map;
}

[[noreturn]] void refuse_folder(Files& files, const std::string& folder) {
  BITMILL_CHECK(files.is_directory(folder), FileError,
                fmt::format("cannot open the model folder {}: there is no such folder", folder));
  for (const std::string& name : files.list(folder)) {
    const bool torch_weights = name.starts_with("pytorch_model") && name.ends_with(".bin");
    BITMILL_CHECK(!torch_weights, FormatError,
                  fmt::format("{} holds its weights as {}, a Python pickle that we do not run; "
                              "convert it to safetensors, in Python: AutoModelForCausalLM."
                              "from_pretrained(folder).save_pretrained(new_folder)",
                              folder, name));
  }
  throw FormatError(
      fmt::format("{} holds neither {} nor {}: it is not a model folder, or was not "
                  "downloaded completely",
                  folder, single_file_name, index_file_name));
}

// Keeps the first `most` sentences of a kind and counts the others: a folder with files of two
// models could give thousands.
class Complaints {
 public:
  explicit Complaints(std::vector<std::string>& problems) : problems_(problems) {}
  ~Complaints() {
    if (left_out_ > 0) problems_.push_back(fmt::format("and {} more of this kind", left_out_));
  }
  void add(std::string problem) {
    if (++count_ <= most) {
      problems_.push_back(std::move(problem));
    } else {
      ++left_out_;
    }
  }

 private:
  static constexpr int most = 10;
  std::vector<std::string>& problems_;
  int count_ = 0, left_out_ = 0;
};

void find_strangers(const SafetensorsFile& file, const WeightMap& weight_map,
                    const std::string& index, Complaints& complaints) {
  for (const auto& [tensor, info] : file.tensors()) {
    if (weight_map.contains(tensor)) continue;
    complaints.add(fmt::format(
        "{} holds tensor \"{}\", which {} does not list; they are not from the same download: "
        "download both again",
        file.path(), tensor, index));
  }
}

bool same_bytes(const SafetensorsFile& a, const SafetensorsFile& b, const std::string& name) {
  const TensorInfo &in_a = a.info(name), &in_b = b.info(name);
  if (in_a.dtype_text != in_b.dtype_text || in_a.shape != in_b.shape) return false;
  std::vector<std::byte> from_a(std::min(in_a.bytes, bytes_per_comparison)), from_b(from_a.size());
  bool same = true;
  for_pieces(in_a.bytes, bytes_per_comparison, [&](int64_t first, int64_t count) {
    if (!same) return;
    const auto piece_a = std::span(from_a).first(count), piece_b = std::span(from_b).first(count);
    a.read_part(in_a, first, piece_a);
    b.read_part(in_b, first, piece_b);
    same = std::ranges::equal(piece_a, piece_b);
  });
  return same;
}

// "[3, 17]" for a flat position in a row-major shape.
std::string position_text(int64_t flat, const std::vector<int64_t>& shape) {
  std::vector<int64_t> position(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    position[axis] = flat % shape[axis];
    flat /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(position, ", "));
}

}  // namespace

TensorFolder::TensorFolder(Files& files, const std::string& folder, const TensorRename& rename)
    : folder_(folder) {
  std::vector<std::string> problems;
  open(files, rename, problems);
  BITMILL_CHECK(problems.empty(), FormatError, fmt::format("{}", fmt::join(problems, "\n")));
}

TensorFolder::TensorFolder(Files& files, const std::string& folder,
                           std::vector<std::string>& problems, const TensorRename& rename)
    : folder_(folder) {
  open(files, rename, problems);
}

void TensorFolder::open(Files& files, const TensorRename& rename,
                        std::vector<std::string>& problems) {
  const std::string single = join_path(folder_, single_file_name);
  const std::string index = join_path(folder_, index_file_name);
  const bool is_single = files.exists(single);
  if (!is_single && !files.exists(index)) refuse_folder(files, folder_);
  BITMILL_CHECK(!is_single || !files.exists(index), FormatError,
                fmt::format("{} holds both {} and {}, which may be two models; remove one", folder_,
                            single_file_name, index_file_name));
  if (is_single) {
    whole_is_lost_ = !open_shard(files, single, rename, problems);
  } else {
    open_shards(files, index, rename, problems);
  }
}

void TensorFolder::open_shards(Files& files, const std::string& index, const TensorRename& rename,
                               std::vector<std::string>& problems) {
  const WeightMap weight_map = read_index(files, index, rename);
  std::map<std::string, std::optional<size_t>> shards;  // by name; of those that can be opened
  for (const auto& [tensor, shard] : weight_map) shards.emplace(shard, std::nullopt);
  std::map<std::string, std::vector<size_t>> holders;  // by tensor, ascending
  Complaints strangers(problems);
  for (auto& [shard, number] : shards) {
    if (!open_shard(files, join_path(folder_, shard), rename, problems)) continue;
    number = shards_.size() - 1;
    find_strangers(*shards_.back(), weight_map, index, strangers);
    for (const auto& [tensor, info] : shards_.back()->tensors()) holders[tensor].push_back(*number);
  }
  Complaints missing(problems), different(problems);
  std::vector<std::string> several;  // tensors of which one copy was chosen
  for (const auto& [tensor, shard] : weight_map) {
    const std::optional<size_t> number = shards[shard];
    const std::vector<size_t>& holding = holders[tensor];
    if (!number) {
      if (holding.empty()) lost_.insert(tensor);
    } else if (std::ranges::find(holding, *number) == holding.end()) {
      missing.add(fmt::format(
          "{} lists tensor \"{}\" in {}, which does not hold it{}; download the folder again",
          index, tensor, shard,
          holding.empty() ? "" : fmt::format(" ({} does)", shards_[holding.front()]->path())));
    } else if (holding.size() > 1) {
      several.push_back(tensor);
      const std::string problem = choose_copy(tensor, holding, *number);
      if (!problem.empty()) different.add(problem);
    }
  }
  if (several.empty()) return;
  notes_.push_back(
      fmt::format("{} of the tensors are stored in more than one shard (\"{}\"{}); the copies that "
                  "{} names are "
                  "read",
                  several.size(), several.front(), several.size() > 1 ? ", ..." : "", index));
}

// transformers takes the copy in the shard that is last by name, whatever the index says. Returns
// what is wrong when that is another one; empty: nothing.
std::string TensorFolder::choose_copy(const std::string& name, const std::vector<size_t>& holders,
                                      size_t named) {
  place_[name] = named;
  const SafetensorsFile &chosen = *shards_[named], &last = *shards_[holders.back()];
  if (&chosen == &last || same_bytes(chosen, last, name)) return "";
  return fmt::format(
      "\"{}\" is stored twice, with different values: {} says that it is in {}, and transformers "
      "reads the copy in {}, the last by name. To keep the copies that the index names, rename {} "
      "so that it is the last by name, here and in the index; both files are needed",
      name, index_file_name, chosen.path(), last.path(), file_name(chosen.path()));
}

bool TensorFolder::open_shard(Files& files, const std::string& path, const TensorRename& rename,
                              std::vector<std::string>& problems) {
  if (!files.exists(path)) {
    problems.push_back(fmt::format("{} is missing, and {} lists it; download the folder again",
                                   path, index_file_name));
    return false;
  }
  try {
    shards_.push_back(std::make_unique<SafetensorsFile>(files, path, rename));
  } catch (const Error& error) {
    problems.emplace_back(error.what());
    return false;
  }
  for (const auto& [tensor, info] : shards_.back()->tensors()) {
    place_.emplace(tensor, shards_.size() - 1);
  }
  return true;
}

const TensorInfo& TensorFolder::info(const std::string& name) const {
  return shard_of(name).info(name);
}

std::vector<std::string> TensorFolder::names() const {
  std::vector<std::string> names;
  for (const auto& [name, shard] : place_) names.push_back(name);
  return names;
}

bool TensorFolder::renamed() const {
  return std::ranges::any_of(shards_, [](const auto& shard) { return shard->renamed(); });
}

int64_t TensorFolder::tensor_bytes() const {
  int64_t total = 0;
  for (const auto& [name, shard] : place_) total += shards_[shard]->info(name).bytes;
  return total;
}

int64_t TensorFolder::file_bytes() const {
  int64_t total = 0;
  for (const auto& shard : shards_) total += shard->file_bytes();
  return total;
}

void TensorFolder::read_part(const std::string& name, int64_t first,
                             std::span<std::byte> into) const {
  shard_of(name).read_part(info(name), first, into);
}

void TensorFolder::read(const std::string& name, std::span<std::byte> into) const {
  const SafetensorsFile& shard = shard_of(name);
  shard.read(shard.info(name), into);
}

std::vector<float> TensorFolder::read_float32(const std::string& name) const {
  std::vector<float> values(info(name).elements());
  read_float32(name, values);
  return values;
}

void TensorFolder::read_float32(
    const std::string& name, std::span<float> values,
    const std::function<void(std::span<const std::byte>)>& stored) const {
  const SafetensorsFile& shard = shard_of(name);
  const TensorInfo& info = shard.info(name);
  BITMILL_CHECK(is_float(info.dtype), FormatError,
                fmt::format("{}: tensor \"{}\" is {}; F32, F16 or BF16 was expected", shard.path(),
                            name, info.dtype_text));
  const int64_t elements = info.elements(), width = dtype_bytes(info.dtype);
  assert(std::ssize(values) == elements);
  std::vector<std::byte> raw(std::min(elements, elements_per_read) * width);
  for_pieces(elements, elements_per_read, [&](int64_t first, int64_t count) {
    const auto piece = std::span(raw).first(count * width);
    shard.read_part(info, first * width, piece);
    if (stored) stored(piece);
    to_float32(info.dtype, piece, values.subspan(first, count));
  });
  const auto bad = std::find_if_not(values.begin(), values.end(),
                                    [](float value) { return std::isfinite(value); });
  BITMILL_CHECK(
      bad == values.end(), NumericError,
      fmt::format("{}: tensor \"{}\" is {} at {}; the checkpoint is damaged", shard.path(), name,
                  *bad, position_text(bad - values.begin(), info.shape)));
}

const SafetensorsFile& TensorFolder::shard_of(const std::string& name) const {
  const auto it = place_.find(name);
  BITMILL_CHECK(it != place_.end(), FormatError,
                fmt::format("{} holds no tensor \"{}\"", folder_, name));
  return *shards_[it->second];
}

}  // namespace bitmill
