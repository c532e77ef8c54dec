#include "data/token_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "format/dtype.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {
namespace {

std::string place_of(const Tokens& shape, int64_t position) {
  if (!shape.is_windows()) return fmt::format("position {}", position);
  return fmt::format("row {}, column {}", position / shape.window_len, position % shape.window_len);
}

// Whole numbers, little-endian in the file, sign-extended. Nothing for another dtype.
std::optional<std::vector<int64_t>> read_whole(const SafetensorsFile& file,
                                               const TensorInfo& info) {
  const std::string& dtype = info.dtype_text;
  const bool is_signed = dtype.starts_with('I');
  if (!is_signed && !dtype.starts_with('U') && dtype != "BOOL") return std::nullopt;
  const auto width = static_cast<size_t>(element_bits(dtype) / 8);
  std::vector<std::byte> raw(static_cast<size_t>(info.bytes));
  file.read(info, raw);
  std::vector<int64_t> values(static_cast<size_t>(info.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t bits = 0;
    std::memcpy(&bits, raw.data() + i * width, width);
    const size_t unused = 64 - 8 * width;
    values[i] =
        is_signed ? static_cast<int64_t>(bits << unused) >> unused : static_cast<int64_t>(bits);
  }
  return values;
}

template <class Ids>
void check_ids(const Ids& ids, const Tokens& shape, int64_t vocab_size, const std::string& path) {
  for (size_t i = 0; i < ids.size(); ++i) {
    BITMILL_CHECK(
        ids[i] >= 0 && ids[i] < vocab_size, FormatError,
        fmt::format("{}: the token id at {} is {}, and the model's vocabulary is [0, {}): "
                    "were these tokens made for another model?",
                    path, place_of(shape, static_cast<int64_t>(i)), ids[i], vocab_size));
  }
}

// A tensor that may stand beside input_ids, and what it must hold to say nothing new.
struct Companion {
  const char* name;
  int64_t (*expected)(const Tokens&, size_t position);
  const char* all;  // of what it must hold
  const char* why;  // bitmill cannot do otherwise
  const char* advice;
};

constexpr const char* unpad =
    "leave the padding out: join the rows' real tokens into one input_ids of one dimension, or cut "
    "all rows to the shortest";

constexpr Companion companions[] = {
    {"attention_mask", [](const Tokens&, size_t) -> int64_t { return 1; }, "1",
     "padding would be counted as text", unpad},
    {"labels", [](const Tokens& t, size_t i) -> int64_t { return t.ids[i]; }, "equal to input_ids",
     "every token of a window counts", "remove the tensor if all tokens are to count"},
    {"position_ids",
     [](const Tokens& t, size_t i) -> int64_t {
       return static_cast<int64_t>(i) % (t.is_windows() ? t.window_len : std::ssize(t.ids));
     },
     "0, 1, 2 ... in every row", "a window is one text, whose positions begin at 0",
     "give every text a row of its own, and remove the tensor"},
    {"token_type_ids", [](const Tokens&, size_t) -> int64_t { return 0; }, "0",
     "decoders have no segments", "remove the tensor"},
};

void check_companion(const SafetensorsFile& file, const TensorInfo& ids, const TensorInfo& info,
                     const Companion& rule, const Tokens& tokens) {
  const auto values = info.shape == ids.shape ? read_whole(file, info) : std::nullopt;
  BITMILL_CHECK(values, FormatError,
                fmt::format("{}: {} is {} and not of whole numbers in the shape of {}; {}",
                            file.path(), rule.name, info.dtype_text, token_tensor, rule.advice));
  int64_t differing = 0, first = 0;
  for (size_t i = values->size(); i-- > 0;) {
    if ((*values)[i] == rule.expected(tokens, i)) continue;
    ++differing;
    first = static_cast<int64_t>(i);
  }
  BITMILL_CHECK(differing == 0, FormatError,
                fmt::format("{}: {} is not all {}: {} of {} values differ, the first at {} is {}; "
                            "{}, so {}",
                            file.path(), rule.name, rule.all, differing, values->size(),
                            place_of(tokens, first), (*values)[static_cast<size_t>(first)],
                            rule.why, rule.advice));
}

// Says nothing about how tokens are used; tokenizers write it on request.
constexpr const char* neutral = "special_tokens_mask";

void check_companions_of_ids(const SafetensorsFile& file, const Tokens& tokens) {
  const TensorInfo& ids = file.info(token_tensor);
  for (const auto& [name, info] : file.tensors()) {
    if (name == token_tensor || name == neutral) continue;
    const auto rule = std::ranges::find(companions, std::string_view(name), &Companion::name);
    BITMILL_CHECK(rule != std::end(companions), FormatError,
                  fmt::format("{}: beside {} there is \"{}\", and bitmill does not know what it "
                              "says; remove it from the file if it changes nothing",
                              file.path(), token_tensor, name));
    check_companion(file, ids, info, *rule, tokens);
  }
}

}  // namespace

void check_vocabulary(const Tokens& tokens, int64_t vocab_size, const std::string& path) {
  check_ids(tokens.ids, tokens, vocab_size, path);
}

Tokens read_token_file(Files& files, const std::string& path, int64_t vocab_size) {
  const SafetensorsFile file(files, path);
  const TensorInfo& info = file.info(token_tensor);
  BITMILL_CHECK(
      info.dtype == Dtype::int32 || info.dtype == Dtype::int64, FormatError,
      fmt::format("{}: {} is {}, and must be I32 (or I64)", path, token_tensor, info.dtype_text));
  BITMILL_CHECK(info.shape.size() == 1 || info.shape.size() == 2, FormatError,
                fmt::format("{}: {} has {} dimensions, and must have one (a text) or two (windows)",
                            path, token_tensor, info.shape.size()));
  BITMILL_CHECK(info.elements() > 0, FormatError,
                fmt::format("{}: {} holds no tokens", path, token_tensor));
  Tokens tokens;
  if (info.shape.size() == 2) {
    tokens.windows = info.shape[0];
    tokens.window_len = info.shape[1];
  }
  const std::vector<int64_t> ids = *read_whole(file, info);
  check_ids(ids, tokens, std::min(vocab_size, int64_t{1} << 31), path);
  tokens.ids.reserve(ids.size());
  for (const int64_t id : ids) tokens.ids.push_back(static_cast<int32_t>(id));
  check_companions_of_ids(file, tokens);
  return tokens;
}

}  // namespace bitmill
