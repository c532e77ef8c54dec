#include "data/corpus_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "base/error.hpp"
#include "base/hash.hpp"

namespace bitmill {
namespace {

constexpr std::string_view separator = "<|endoftext|>";
constexpr std::string_view blanks_of_text = " \t\r\n";

std::string_view without_blank_ends(std::string_view text) {
  const size_t first = text.find_first_not_of(blanks_of_text);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blanks_of_text) - first + 1);
}

}  // namespace

struct CorpusIndex::Content {
  std::vector<CorpusText> texts;
  std::vector<int64_t> begins = {0};
  Hasher hasher;

  void add(CorpusText text, int64_t least_bytes) {
    if (std::ssize(text.text) < least_bytes) return;
    begins.push_back(begins.back() + std::ssize(text.text));
    texts.push_back(std::move(text));
  }
};

CorpusIndex::CorpusIndex(Files& files, const IndexedFiles& indexed)
    : content_(std::make_unique<Content>()) {
  const CorpusLines lines(files, indexed.model_folder, indexed.text_key);
  for (const std::string& path : indexed.paths) {
    const std::string all = read_text(files, path);
    content_->hasher.add_text(all);
    std::string_view rest = all;
    const bool is_lines = holds_json_lines(all, path);
    const std::string_view border = is_lines ? "\n" : separator;
    for (int64_t number = 1; !rest.empty(); ++number) {
      std::string_view part = without_blank_ends(rest.substr(0, rest.find(border)));
      rest.remove_prefix(std::min(rest.size(), rest.find(border) == rest.npos
                                                   ? rest.size()
                                                   : rest.find(border) + border.size()));
      if (part.empty()) continue;
      content_->add(is_lines ? lines.read(part, fmt::format("{}, line {}", path, number))
                             : CorpusText{std::string(part)},
                    indexed.least_bytes);
    }
  }
  BITMILL_CHECK(!content_->texts.empty(), UsageError,
                fmt::format("no document has {} bytes", indexed.least_bytes));
}

CorpusIndex::~CorpusIndex() = default;

int64_t CorpusIndex::documents() const { return std::ssize(content_->texts); }
int64_t CorpusIndex::text_bytes() const { return content_->begins.back(); }
std::string CorpusIndex::content_hash() const { return content_->hasher.hex(); }

IndexedDocument CorpusIndex::document(int64_t number) const {
  const int64_t begin = content_->begins[static_cast<size_t>(number)];
  return {begin, content_->begins[static_cast<size_t>(number) + 1] - begin, false};
}

int64_t CorpusIndex::document_at(int64_t place) const {
  return std::ranges::upper_bound(content_->begins, place) - content_->begins.begin() - 1;
}

CorpusText CorpusIndex::read(int64_t number) const {
  return content_->texts[static_cast<size_t>(number)];
}

}  // namespace bitmill
