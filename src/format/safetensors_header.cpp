#include "format/safetensors_header.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr std::string_view git_lfs_start = "version ";  // of a pointer file, 8 characters

std::string read_header_text(const InputFile& file) {
  BITMILL_CHECK(
      file.size() >= header_length_bytes, FormatError,
      fmt::format("{} is truncated: it has {} bytes, and the header's length alone takes {}",
                  file.path(), file.size(), header_length_bytes));
  uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  BITMILL_CHECK(std::memcmp(&length, git_lfs_start.data(), git_lfs_start.size()) != 0, FormatError,
                fmt::format("{} is not a safetensors file but a Git LFS pointer to one; fetch it "
                            "with `git lfs pull`",
                            file.path()));
  BITMILL_CHECK(length <= uint64_t{longest_header}, FormatError,
                fmt::format("{} is not a safetensors file: it claims a header of {} bytes, and at "
                            "most {} are allowed",
                            file.path(), length, longest_header));
  const int64_t header_end = header_length_bytes + static_cast<int64_t>(length);
  BITMILL_CHECK(
      header_end <= file.size(), FormatError,
      fmt::format("{} is truncated: it has {} bytes, and its header ends at byte {}; copy "
                  "or download it again",
                  file.path(), file.size(), header_end));
  std::string text(length, '\0');
  file.read(header_length_bytes, std::as_writable_bytes(std::span(text)));
  BITMILL_CHECK(
      text.starts_with('{'), FormatError,
      fmt::format("{} is not a safetensors file, or was not written completely: its header "
                  "does not begin with '{{'",
                  file.path()));
  return text;
}

const json& require_array(const json& tensor, const char* key, const std::string& where) {
  const auto it = tensor.find(key);
  BITMILL_CHECK(it != tensor.end() && it->is_array(), FormatError,
                fmt::format("{}: \"{}\" must be a list of numbers", where, key));
  return *it;
}

std::vector<int64_t> natural_numbers(const json& tensor, const char* key,
                                     const std::string& where) {
  std::vector<int64_t> numbers;
  for (const json& item : require_array(tensor, key, where)) {
    // The parser stores a number >= 0 as unsigned, and one that exceeds 64 bits as double.
    const bool natural = item.is_number_unsigned() && item.get<uint64_t>() <= uint64_t{INT64_MAX};
    BITMILL_CHECK(natural, FormatError,
                  fmt::format("{}: \"{}\" holds {}; whole numbers from 0 to 2^63 - 1 are allowed",
                              where, key, item.dump().substr(0, 40)));
    numbers.push_back(item.get<int64_t>());
  }
  return numbers;
}

int64_t multiply(int64_t a, int64_t b, const std::vector<int64_t>& shape,
                 const std::string& where) {
  BITMILL_CHECK(
      b == 0 || a <= INT64_MAX / b, FormatError,
      fmt::format("{}: the size of shape [{}] overflows 64 bits", where, fmt::join(shape, ", ")));
  return a * b;
}

int64_t bytes_of_shape(const std::vector<int64_t>& shape, std::string_view dtype,
                       const std::string& where) {
  const int64_t bits_each = element_bits(dtype);
  BITMILL_CHECK(bits_each != 0, FormatError, fmt::format("{}: unknown dtype \"{}\"", where, dtype));
  int64_t elements = 1;
  for (const int64_t dim : shape) elements = multiply(elements, dim, shape, where);
  const int64_t bits = multiply(elements, bits_each, shape, where);
  BITMILL_CHECK(
      bits % 8 == 0, FormatError,
      fmt::format("{}: {} elements of {} do not fill whole bytes", where, elements, dtype));
  return bits / 8;
}

// In the result, `offset` counts from the start of the data, not of the file.
TensorInfo read_tensor(const std::string& name, const json& tensor, const std::string& where) {
  BITMILL_CHECK(tensor.is_object(), FormatError, where + ": must be an object");
  TensorInfo info;
  info.name = name;
  info.dtype_text = json_string(tensor, "dtype", where);
  info.dtype = dtype_from_name(info.dtype_text);
  info.shape = natural_numbers(tensor, "shape", where);
  const auto range = natural_numbers(tensor, "data_offsets", where);
  BITMILL_CHECK(
      range.size() == 2 && range[0] <= range[1], FormatError,
      fmt::format("{}: data_offsets [{}] are not a range", where, fmt::join(range, ", ")));
  info.offset = range[0];
  info.bytes = range[1] - range[0];
  const int64_t expected = bytes_of_shape(info.shape, info.dtype_text, where);
  BITMILL_CHECK(info.bytes == expected, FormatError,
                fmt::format("{}: {} [{}] takes {} bytes, and data_offsets [{}] hold {}", where,
                            info.dtype_text, fmt::join(info.shape, ", "), expected,
                            fmt::join(range, ", "), info.bytes));
  return info;
}

std::map<std::string, std::string> read_metadata(const json& metadata, const std::string& where) {
  BITMILL_CHECK(metadata.is_object(), FormatError, where + ": must be an object");
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : metadata.items()) {
    texts.emplace(key, json_string(metadata, key.c_str(), where));
  }
  return texts;
}

// Checks that every byte of the data belongs to exactly one tensor, and that no byte is missing.
void check_coverage(const SafetensorsHeader& header, int64_t data_start, const InputFile& file) {
  std::vector<const TensorInfo*> in_order;
  for (const auto& [name, info] : header.tensors) in_order.push_back(&info);
  std::sort(in_order.begin(), in_order.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  int64_t end = 0;
  for (size_t i = 0; i < in_order.size(); ++i) {
    const TensorInfo& info = *in_order[i];
    BITMILL_CHECK(info.offset >= end, FormatError,
                  fmt::format("{}: tensor \"{}\" begins at data byte {}, and \"{}\" before it ends "
                              "at {}: they overlap",
                              file.path(), info.name, info.offset, in_order[i - 1]->name, end));
    BITMILL_CHECK(
        info.offset == end, FormatError,
        fmt::format("{}: tensor \"{}\" begins at data byte {}, and what is before it ends "
                    "at {}: the bytes between belong to nothing",
                    file.path(), info.name, info.offset, end));
    end = info.offset + info.bytes;
  }
  const int64_t data_bytes = file.size() - data_start;
  BITMILL_CHECK(
      end <= data_bytes, FormatError,
      fmt::format("{} is truncated: it has {} bytes, and by its header tensor \"{}\" ends "
                  "at byte {}; copy or download it again",
                  file.path(), file.size(), in_order.back()->name,
                  static_cast<uint64_t>(data_start) + static_cast<uint64_t>(end)));
  BITMILL_CHECK(
      end == data_bytes, FormatError,
      fmt::format("{} has {} bytes, and by its header its tensors end at byte {}: the rest "
                  "belongs to nothing",
                  file.path(), file.size(), data_start + end));
}

}  // namespace

SafetensorsHeader read_safetensors_header(const InputFile& file) {
  const std::string text = read_header_text(file);
  const int64_t data_start = header_length_bytes + static_cast<int64_t>(text.size());
  SafetensorsHeader header;
  const json tensors = parse_strict_json(text, "the header of " + file.path());
  for (const auto& [name, value] : tensors.items()) {
    const std::string where = fmt::format("{}: \"{}\"", file.path(), name);
    if (name == metadata_key) {
      header.metadata = read_metadata(value, where);
    } else {
      header.tensors.emplace(name, read_tensor(name, value, where));
    }
  }
  check_coverage(header, data_start, file);
  for (auto& [name, info] : header.tensors) info.offset += data_start;
  return header;
}

}  // namespace bitmill
