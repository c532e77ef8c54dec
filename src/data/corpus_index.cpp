#include "data/corpus_index.hpp"

#include <fmt/format.h>

#include <cassert>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "data/corpus_index_file.hpp"

namespace bitmill {
namespace {

static_assert(sizeof(IndexRecord) == bytes_of_record);

std::unique_ptr<InputFile> open_index(Files& files, const std::string& path) {
  BITMILL_CHECK(files.exists(path), UsageError,
                fmt::format("there is no index of the corpus at {}: its files or their sizes were "
                            "changed, or nobody has prepared it on this host",
                            path));
  return files.open(path);
}

}  // namespace

struct CorpusIndex::Table : IndexTable {
  std::vector<std::string> contents;  // paths of what is read
};

CorpusIndex::CorpusIndex(Files& files, const IndexedFiles& indexed)
    : files_(files),
      paths_(indexed.paths),
      lines_(files, indexed.model_folder, indexed.text_key),
      file_(open_index(files, index_path(files, indexed))),
      table_(std::make_unique<Table>(Table{read_index_table(*file_), {}})) {
  BITMILL_CHECK(table_->files.size() == indexed.paths.size(), FormatError,
                fmt::format("{} is damaged: remove it", file_->path()));
  for (const std::string& path : indexed.paths) {
    table_->contents.push_back(content_path(files, path, indexed.scratch_dir));
  }
}

CorpusIndex::~CorpusIndex() = default;

int64_t CorpusIndex::documents() const { return table_->documents; }
int64_t CorpusIndex::text_bytes() const { return table_->text_bytes; }
int64_t CorpusIndex::left_out() const { return table_->left_out; }
std::string CorpusIndex::content_hash() const { return table_->content_hash; }

IndexRecord CorpusIndex::record(int64_t number) const {
  assert(0 <= number && number < documents());
  IndexRecord record;
  file_->read(number * bytes_of_record, std::as_writable_bytes(std::span(&record, 1)));
  return record;
}

IndexedDocument CorpusIndex::document(int64_t number) const {
  const IndexRecord found = record(number);
  return {static_cast<int64_t>(found.begin), found.bytes, found.continues == 1};
}

int64_t CorpusIndex::document_at(int64_t place) const {
  assert(0 <= place && place < text_bytes());
  // The last document that begins at or before the place.
  int64_t first = 0, end = documents();
  while (end - first > 1) {
    const int64_t middle = first + (end - first) / 2;
    (document(middle).begin <= place ? first : end) = middle;
  }
  return first;
}

CorpusText CorpusIndex::read(int64_t number) const {
  const IndexRecord found = record(number);
  const IndexedFile& of = table_->files[found.file];
  const auto changed = [&](bool is_changed) {
    BITMILL_CHECK(!is_changed, FormatError,
                  fmt::format("{} was changed since the corpus was indexed: document {}, at byte "
                              "{}, is another one; another start makes a new index",
                              paths_[found.file], number, uint64_t{found.offset}));
  };
  const auto file = files_.open(table_->contents[found.file]);
  changed(file->size() != of.content_bytes);
  std::string stored(found.stored, '\0');
  file->read(static_cast<int64_t>(found.offset), std::as_writable_bytes(std::span(stored)));
  changed(check_of(stored) != found.check);
  if (!of.is_json_lines) return {std::move(stored)};
  CorpusText text = lines_.read(stored, fmt::format("{}, document {}", paths_[found.file], number));
  changed(std::ssize(text.text) != found.bytes);  // by another chat template
  return text;
}

}  // namespace bitmill
