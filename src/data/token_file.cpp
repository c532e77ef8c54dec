#include "data/token_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "format/dtype.hpp"

namespace bitmill {
namespace {

std::string place_of(const Tokens& shape, int64_t position) {
  if (!shape.is_windows()) return fmt::format("position {}", position);
  return fmt::format("row {}, column {}", position / shape.window_len, position % shape.window_len);
}

// How many elements of a file are looked at together: a file may be larger than memory.
constexpr int64_t elements_at_once = int64_t{1} << 20;

bool is_whole(const TensorInfo& info) {
  const std::string& dtype = info.dtype_text;
  return dtype.starts_with('I') || dtype.starts_with('U') || dtype == "BOOL";
}

// Elements [first, first + count), whole numbers, little-endian in the file, sign-extended.
std::vector<int64_t> read_whole(const SafetensorsFile& file, const TensorInfo& info, int64_t first,
                                int64_t count) {
  const bool is_signed = info.dtype_text.starts_with('I');
  const auto width = static_cast<size_t>(element_bits(info.dtype_text) / 8);
  std::vector<std::byte> raw(static_cast<size_t>(count) * width);
  file.read_part(info, first * static_cast<int64_t>(width), raw);
  std::vector<int64_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t bits = 0;
    std::memcpy(&bits, raw.data() + i * width, width);
    const size_t unused = 64 - 8 * width;
    values[i] =
        is_signed ? static_cast<int64_t>(bits << unused) >> unused : static_cast<int64_t>(bits);
  }
  return values;
}

// `first`: the position of ids[0] in the whole.
template <class Ids>
void check_ids(const Ids& ids, int64_t first, const Tokens& shape, int64_t vocab_size,
               const std::string& path) {
  for (size_t i = 0; i < ids.size(); ++i) {
    BITMILL_CHECK(
        ids[i] >= 0 && ids[i] < vocab_size, FormatError,
        fmt::format("{}: the token id at {} is {}, and the model's vocabulary is [0, {}): "
                    "were these tokens made for another model?",
                    path, place_of(shape, first + static_cast<int64_t>(i)), ids[i], vocab_size));
  }
}

// A tensor that may stand beside input_ids, and what it must hold to say nothing new.
struct Companion {
  const char* name;
  int64_t (*expected)(int64_t id, int64_t column);
  const char* all;  // of what it must hold
  const char* why;  // bitmill cannot do otherwise
  const char* advice;
};

constexpr const char* unpad =
    "leave the padding out: join the rows' real tokens into one input_ids of one dimension, or cut "
    "all rows to the shortest";

constexpr Companion companions[] = {
    {"attention_mask", [](int64_t, int64_t) -> int64_t { return 1; }, "1",
     "padding would be counted as text", unpad},
    {"labels", [](int64_t id, int64_t) -> int64_t { return id; }, "equal to input_ids",
     "every token of a window counts", "remove the tensor if all tokens are to count"},
    {"position_ids", [](int64_t, int64_t column) -> int64_t { return column; },
     "0, 1, 2 ... in every row", "a window is one text, whose positions begin at 0",
     "give every text a row of its own, and remove the tensor"},
    {"token_type_ids", [](int64_t, int64_t) -> int64_t { return 0; }, "0",
     "decoders have no segments", "remove the tensor"},
};

// Says nothing about how tokens are used; tokenizers write it on request.
constexpr const char* neutral = "special_tokens_mask";

// Compares one companion with what it must hold.
class CompanionCheck {
 public:
  CompanionCheck(const SafetensorsFile& file, const TensorInfo& info, const Companion& rule,
                 const Tokens& shape)
      : file_(file), info_(info), rule_(rule), shape_(shape) {
    BITMILL_CHECK(info.shape == file.info(token_tensor).shape && is_whole(info), FormatError,
                  fmt::format("{}: {} is {} and not of whole numbers in the shape of {}; {}",
                              file.path(), rule.name, info.dtype_text, token_tensor, rule.advice));
  }

  // ids: those at [first, first + ids.size()).
  void add(const std::vector<int64_t>& ids, int64_t first) {
    const auto values = read_whole(file_, info_, first, std::ssize(ids));
    for (size_t i = 0; i < ids.size(); ++i) {
      const int64_t position = first + static_cast<int64_t>(i);
      const int64_t column = shape_.is_windows() ? position % shape_.window_len : position;
      if (values[i] == rule_.expected(ids[i], column)) continue;
      if (differing_++ == 0) first_ = position, value_ = values[i];
    }
  }

  void finish() const {
    BITMILL_CHECK(differing_ == 0, FormatError,
                  fmt::format("{}: {} is not all {}: {} of {} values differ, the first at {} is "
                              "{}; {}, so {}",
                              file_.path(), rule_.name, rule_.all, differing_, info_.elements(),
                              place_of(shape_, first_), value_, rule_.why, rule_.advice));
  }

 private:
  const SafetensorsFile& file_;
  const TensorInfo& info_;
  const Companion& rule_;
  const Tokens& shape_;
  int64_t differing_ = 0, first_ = 0, value_ = 0;
};

std::vector<CompanionCheck> companions_of_ids(const SafetensorsFile& file, const Tokens& shape) {
  std::vector<CompanionCheck> checks;
  for (const auto& [name, info] : file.tensors()) {
    if (name == token_tensor || name == neutral) continue;
    const auto rule = std::ranges::find(companions, std::string_view(name), &Companion::name);
    BITMILL_CHECK(rule != std::end(companions), FormatError,
                  fmt::format("{}: beside {} there is \"{}\", and bitmill does not know what it "
                              "says; remove it from the file if it changes nothing",
                              file.path(), token_tensor, name));
    checks.emplace_back(file, info, *rule, shape);
  }
  return checks;
}

}  // namespace

void check_vocabulary(const Tokens& tokens, int64_t vocab_size, const std::string& path) {
  check_ids(tokens.ids, 0, tokens, vocab_size, path);
}

Tokens token_file_shape(const SafetensorsFile& file) {
  const std::string& path = file.path();
  const TensorInfo& info = file.info(token_tensor);
  BITMILL_CHECK(
      info.dtype == Dtype::int32 || info.dtype == Dtype::int64, FormatError,
      fmt::format("{}: {} is {}, and must be I32 (or I64)", path, token_tensor, info.dtype_text));
  BITMILL_CHECK(info.shape.size() == 1 || info.shape.size() == 2, FormatError,
                fmt::format("{}: {} has {} dimensions, and must have one (a text) or two (windows)",
                            path, token_tensor, info.shape.size()));
  BITMILL_CHECK(info.elements() > 0, FormatError,
                fmt::format("{}: {} holds no tokens", path, token_tensor));
  Tokens shape;
  if (info.shape.size() == 2) {
    shape.windows = info.shape[0];
    shape.window_len = info.shape[1];
  }
  return shape;
}

std::vector<int32_t> read_token_ids(const SafetensorsFile& file, int64_t first, int64_t count) {
  const auto ids = read_whole(file, file.info(token_tensor), first, count);
  std::vector<int32_t> narrow;
  narrow.reserve(ids.size());
  for (const int64_t id : ids) narrow.push_back(static_cast<int32_t>(id));
  return narrow;
}

void visit_token_file(const SafetensorsFile& file, int64_t vocab_size,
                      const std::function<void(std::span<const int32_t>)>& take) {
  const Tokens shape = token_file_shape(file);
  const TensorInfo& info = file.info(token_tensor);
  auto checks = companions_of_ids(file, shape);
  std::vector<int32_t> narrow;
  for_pieces(info.elements(), elements_at_once, [&](int64_t first, int64_t count) {
    const auto ids = read_whole(file, info, first, count);
    check_ids(ids, first, shape, std::min(vocab_size, int64_t{1} << 31), file.path());
    for (CompanionCheck& check : checks) check.add(ids, first);
    narrow.clear();
    for (const int64_t id : ids) narrow.push_back(static_cast<int32_t>(id));
    take(narrow);
  });
  for (const CompanionCheck& check : checks) check.finish();
}

Tokens read_token_file(Files& files, const std::string& path, int64_t vocab_size) {
  const SafetensorsFile file(files, path);
  Tokens tokens = token_file_shape(file);
  tokens.ids.reserve(static_cast<size_t>(file.info(token_tensor).elements()));
  visit_token_file(file, vocab_size, [&](std::span<const int32_t> ids) {
    tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
  });
  return tokens;
}

}  // namespace bitmill
