#include "pipeline/blocks/packed_broadcast.hpp"

#include <fmt/format.h>

#include <array>

#include "base/error.hpp"
#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

using packed::words_for;

PackedLinear sized(int64_t rows, int64_t cols, int64_t salient_cols) {
  const auto count = [](int64_t n) { return static_cast<size_t>(n); };
  PackedLinear linear;
  linear.rows = rows;
  linear.cols = cols;
  linear.salient_cols = salient_cols;
  linear.signs.resize(count(rows * words_for(linear.low_cols(), packed::bits_per_word)));
  linear.codes.resize(count(rows * words_for(salient_cols, packed::codes_per_word)));
  linear.mask.resize(count(words_for(cols, packed::bits_per_word)));
  linear.code_zero.resize(count(words_for(rows, packed::codes_per_word)));
  for (auto* row_values : {&linear.row_scale, &linear.row_mean, &linear.code_scale}) {
    row_values->resize(count(rows));
  }
  linear.col_gain.resize(count(linear.low_cols()));
  return linear;
}

// The parts of `linear`, in the order of packed_parts().
std::array<std::span<std::byte>, 8> parts_of(PackedLinear& linear) {
  const auto bytes = [](auto& values) { return std::as_writable_bytes(std::span(values)); };
  return {bytes(linear.signs),     bytes(linear.codes),     bytes(linear.mask),
          bytes(linear.code_zero), bytes(linear.row_scale), bytes(linear.row_mean),
          bytes(linear.col_gain),  bytes(linear.code_scale)};
}

int64_t count_salient(const SafetensorsFile& file, const LinearShape& shape) {
  const int64_t low = file.info(shape.tensor + ".col_gain").elements();
  BITMILL_CHECK(low <= shape.cols, FormatError,
                fmt::format("{}: {} has {} column gains and {} columns", file.path(), shape.tensor,
                            low, shape.cols));
  return shape.cols - low;
}

void read_part(const SafetensorsFile& file, const std::string& name, std::span<std::byte> into) {
  const TensorInfo& info = file.info(name);
  BITMILL_CHECK(info.bytes == std::ssize(into), FormatError,
                fmt::format("{}: {} has {} bytes, and {} belong there", file.path(), name,
                            info.bytes, into.size()));
  file.read(info, into);
}

}  // namespace

std::shared_ptr<const PackedLinear> broadcast_packed(Communicator& comm,
                                                     const SafetensorsFile* file,
                                                     const LinearShape& shape) {
  int64_t salient = file != nullptr ? count_salient(*file, shape) : 0;
  comm.broadcast(std::as_writable_bytes(std::span(&salient, 1)), 0);
  auto linear = std::make_shared<PackedLinear>(sized(shape.rows, shape.cols, salient));
  size_t part = 0;
  for (const std::span<std::byte> bytes : parts_of(*linear)) {
    const char* suffix = packed_parts()[part++].suffix;
    if (file != nullptr) read_part(*file, shape.tensor + suffix, bytes);
    comm.broadcast(bytes, 0);
  }
  return linear;
}

}  // namespace bitmill
