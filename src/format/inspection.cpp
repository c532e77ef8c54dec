#include "format/inspection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

#include "base/error.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {
namespace {

constexpr std::string_view block_marker = "layers.";

// 12 for "model.layers.12.mlp.up_proj.weight", and also for "layers.12.mlp.up_proj.weight", which
// is the name in a model that was saved without its head.
int64_t block_of(const std::string& name, const std::string& folder) {
  int64_t block = -1;
  const size_t after_dot = name.find(fmt::format(".{}", block_marker));
  const size_t marker = name.starts_with(block_marker) ? 0
                        : after_dot == name.npos       ? name.npos
                                                       : after_dot + 1;
  if (marker != std::string::npos) {
    const char* const digits = name.data() + marker + block_marker.size();
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(digits, end, block);
    if (error != std::errc() || rest == end || *rest != '.') block = -1;
  }
  BITMILL_CHECK(block >= 0, FormatError,
                fmt::format("{}: the packed weight \"{}\" is in no block: its name has no number "
                            "after \"{}\"",
                            folder, name, block_marker));
  return block;
}

double per_item(int64_t bits, int64_t items) {
  return items == 0 ? 0 : static_cast<double>(bits) / static_cast<double>(items);
}

LinearCount count_linear(const TensorFolder& tensors, const std::string& name,
                         std::set<std::string>& counted) {
  const PackedShape shape = read_packed_shape(tensors, name);
  LinearCount count{name, shape.rows, shape.cols, shape.salient_cols};
  for (const PackedPart& part : packed_parts()) {
    count.bits += 8 * tensors.info(name + part.suffix).bytes;
    counted.insert(name + part.suffix);
  }
  return count;
}

}  // namespace

double LinearCount::bits_per_weight() const { return per_item(bits, rows * cols); }
double Inspection::bits_per_weight() const { return per_item(linear_bits, linear_weights); }
double Inspection::bits_per_parameter() const {
  return per_item(8 * file_bytes, linear_weights + other_parameters);
}

Inspection inspect_folder(Files& files, const std::string& folder) {
  const TensorFolder tensors(files, folder);
  const bool declared_packed = is_packed_folder(files, folder);
  Inspection inspection;
  std::set<std::string> counted;
  std::map<int64_t, std::vector<LinearCount>> by_block;
  for (const std::string& name : packed_names(tensors)) {
    BITMILL_CHECK(declared_packed, FormatError,
                  fmt::format("{} holds the packed weight \"{}\", and its config.json has no "
                              "quantization_config that says so",
                              folder, name));
    by_block[block_of(name, folder)].push_back(count_linear(tensors, name, counted));
  }
  for (auto& [number, linears] : by_block) {
    BlockCount block{number};
    for (LinearCount& linear : linears) {
      block.weights += linear.rows * linear.cols;
      block.bits += linear.bits;
      inspection.linears.push_back(std::move(linear));
    }
    inspection.linear_weights += block.weights;
    inspection.linear_bits += block.bits;
    inspection.blocks.push_back(block);
  }
  for (const std::string& name : tensors.names()) {
    if (counted.contains(name)) continue;
    inspection.other_parameters += tensors.info(name).elements();
    inspection.other_bits += 8 * tensors.info(name).bytes;
  }
  inspection.tensor_bytes = tensors.tensor_bytes();
  inspection.file_bytes = tensors.file_bytes();
  return inspection;
}

}  // namespace bitmill
