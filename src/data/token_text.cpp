#include "data/token_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* tensor_name = "input_ids";

// "text" of every line, with an empty line between.
std::string join_jsonl(std::string_view content, const std::string& path) {
  std::string joined;
  int64_t number = 0;
  bool is_first = true;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path, number);
    const std::string text = json_string(parse_json(line, where), "text", where);
    if (!is_first) joined += "\n\n";
    joined += text;
    is_first = false;
  }
  return joined;
}

Tokens tokenize(Files& files, const std::string& path, const std::string& text,
                const std::string& model_folder) {
  const auto tokenizer = open_tokenizer(files, model_folder);
  Tokens tokens;
  try {
    tokens.ids = tokenizer->encode(text, true);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path, error.what()));
  }
  return tokens;
}

std::string place_of(const Tokens& tokens, int64_t position) {
  if (!tokens.is_windows()) return fmt::format("position {}", position);
  return fmt::format("row {}, column {}", position / tokens.window_len,
                     position % tokens.window_len);
}

// int64 or int32, little-endian in the file. They are widened to int64, so that the check against
// the vocabulary sees the values of the file.
std::vector<int64_t> read_ids(const SafetensorsFile& file, const TensorInfo& info) {
  std::vector<std::byte> raw(static_cast<size_t>(info.bytes));
  file.read(info, raw);
  std::vector<int64_t> ids(static_cast<size_t>(info.elements()));
  if (info.dtype == Dtype::int64) {
    if (!raw.empty()) std::memcpy(ids.data(), raw.data(), raw.size());
    return ids;
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    int32_t id = 0;
    std::memcpy(&id, raw.data() + i * sizeof(id), sizeof(id));
    ids[i] = id;
  }
  return ids;
}

void check_vocabulary(const std::vector<int64_t>& ids, const Tokens& shape, int64_t vocab_size,
                      const std::string& path) {
  for (size_t i = 0; i < ids.size(); ++i) {
    BITMILL_CHECK(
        ids[i] >= 0 && ids[i] < vocab_size, FormatError,
        fmt::format("{}: the token id at {} is {}, and the model's vocabulary is [0, {}): "
                    "were these tokens made for another model?",
                    path, place_of(shape, static_cast<int64_t>(i)), ids[i], vocab_size));
  }
}

Tokens read_token_file(Files& files, const std::string& path, int64_t vocab_size) {
  const SafetensorsFile file(files, path);
  const TensorInfo& info = file.info(tensor_name);
  BITMILL_CHECK(
      info.dtype == Dtype::int32 || info.dtype == Dtype::int64, FormatError,
      fmt::format("{}: {} is {}, and must be I32 (or I64)", path, tensor_name, info.dtype_text));
  BITMILL_CHECK(info.shape.size() == 1 || info.shape.size() == 2, FormatError,
                fmt::format("{}: {} has {} dimensions, and must have one (a text) or two (windows)",
                            path, tensor_name, info.shape.size()));
  BITMILL_CHECK(info.elements() > 0, FormatError,
                fmt::format("{}: {} holds no tokens", path, tensor_name));
  Tokens tokens;
  if (info.shape.size() == 2) {
    tokens.windows = info.shape[0];
    tokens.window_len = info.shape[1];
  }
  const std::vector<int64_t> ids = read_ids(file, info);
  check_vocabulary(ids, tokens, std::min(vocab_size, int64_t{1} << 31), path);
  tokens.ids.reserve(ids.size());
  for (const int64_t id : ids) tokens.ids.push_back(static_cast<int32_t>(id));
  return tokens;
}

}  // namespace

Tokens read_tokens(Files& files, const std::string& path, const std::string& model_folder,
                   int64_t vocab_size) {
  if (path.ends_with(".safetensors")) return read_token_file(files, path, vocab_size);
  const bool is_jsonl = path.ends_with(".jsonl");
  BITMILL_CHECK(is_jsonl || path.ends_with(".txt"), UsageError,
                fmt::format("{}: a text is named .txt, .jsonl (objects with \"text\", one a line) "
                            "or .safetensors (a token file with {}); rename or convert it",
                            path, tensor_name));
  std::string text = read_text(files, path);
  if (is_jsonl) text = join_jsonl(text, path);
  const Tokens tokens = tokenize(files, path, text, model_folder);
  check_vocabulary({tokens.ids.begin(), tokens.ids.end()}, tokens, vocab_size, path);
  return tokens;
}

void write_token_file(Files& files, const std::string& path, const Tokens& tokens) {
  TensorSource source;
  source.name = tensor_name;
  source.dtype = Dtype::int32;
  source.shape = {static_cast<int64_t>(tokens.ids.size())};
  if (tokens.is_windows()) source.shape = {tokens.windows, tokens.window_len};
  source.produce = [&tokens](const ByteSink& sink) { sink(std::as_bytes(std::span(tokens.ids))); };
  const std::string beside = path + ".new";
  write_safetensors(files, beside, {source}, {});
  files.rename(beside, path);
  files.sync_directory(parent_path(path));
}

}  // namespace bitmill
