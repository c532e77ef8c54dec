#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "data/corpus_begin.hpp"
#include "data/corpus_index.hpp"
#include "data/corpus_index_file.hpp"
#include "data/corpus_splitter.hpp"
#include "data/corpus_unfinished.hpp"
#include "data/corpus_unpack.hpp"
#include "data/file_pieces.hpp"

namespace bitmill {
namespace {

// To be raised when the same files begin to give other documents.
constexpr const char* rules_version = "documents 1";

void unpack(Files& files, const std::string& path, const std::string& target,
            const CorpusProgress& progress) {
  UnfinishedFile beside(files, target);
  bool is_first = true;
  read_content(files, path, [&](std::string_view piece) {
    BITMILL_CHECK(!is_first || !begins_packed(piece), FormatError,
                  fmt::format("{} was compressed twice: unpack it once", path));
    is_first = false;
    beside.append(std::as_bytes(std::span(piece)));
    progress(std::ssize(piece));
  });
  beside.finish();
}

std::string hash_of_file(Files& files, const std::string& path, const CorpusProgress& progress) {
  Hasher hasher;
  const auto file = files.open(path);
  read_file_pieces(*file, file->size(), [&](std::span<const std::byte> piece) {
    hasher.add(piece);
    progress(std::ssize(piece));
    return true;
  });
  return hasher.hex();
}

// Writes the records of all files, and counts on the way.
class IndexWriter {
 public:
  IndexWriter(Files& files, const IndexedFiles& indexed, const CorpusProgress& progress)
      : files_(files),
        indexed_(indexed),
        progress_(progress),
        lines_(files, indexed.model_folder, indexed.text_key),
        beside_(files, index_path(files, indexed)) {}

  void write() {
    Hasher content;
    content.add_text(rules_version);
    content.add_text(indexed_.text_key);
    content.add_text(std::to_string(indexed_.least_bytes));
    for (const std::string& path : indexed_.paths) content.add_text(add_file(path));
    check_documents();
    flush();
    table_.content_hash = content.hex();
    table_.record_hash = record_hasher_.hex();
    const std::string end = index_end(table_);
    beside_.append(std::as_bytes(std::span(end)));
    beside_.finish();
  }

 private:
  // Returns the hash of its content.
  std::string add_file(const std::string& path) {
    Hasher hasher;
    std::optional<DocumentSplitter> splitter;
    // The begin of the file, until it is known what it holds.
    std::string begin;
    const auto start = [&] {
      const bool is_lines = is_read_by_lines(begin, path, indexed_.text_key);
      table_.files.push_back({0, is_lines, ""});
      splitter.emplace(path, SplitRules{is_lines, indexed_.least_bytes}, lines_,
                       [this](const FoundDocument& found) { add(found); });
      splitter->add(std::exchange(begin, {}));
    };
    const std::string content = content_path(files_, path, indexed_.scratch_dir);
    const int64_t bytes = read_content(files_, content, [&](std::string_view piece) {
      hasher.add(std::as_bytes(std::span(piece)));
      progress_(std::ssize(piece));
      if (splitter) return splitter->add(piece);
      begin += piece;
      if (has_first_line(begin)) start();
    });
    check_not_empty(bytes, path);
    if (!splitter) start();
    splitter->finish();
    table_.files.back().content_bytes = bytes;
    table_.files.back().source_hash =
        content == path ? hasher.hex() : hash_of_file(files_, path, progress_);
    table_.left_out += splitter->left_out();
    longest_left_out_ = std::max(longest_left_out_, splitter->longest_left_out());
    return hasher.hex();
  }

  void add(const FoundDocument& found) {
    IndexRecord record;
    record.begin = static_cast<uint64_t>(table_.text_bytes);
    record.offset = static_cast<uint64_t>(found.offset);
    record.stored = static_cast<uint32_t>(found.stored.size());
    record.bytes = static_cast<uint32_t>(found.text_bytes);
    record.check = check_of(found.stored);
    record.file = static_cast<uint32_t>(table_.files.size() - 1) & 0x7FFFFFFFu;
    record.continues = found.continues ? 1 : 0;
    records_.push_back(record);
    ++table_.documents;
    table_.text_bytes += found.text_bytes;
    constexpr size_t records_at_once = size_t{1} << 15;  // 1 MiB
    if (records_.size() == records_at_once) flush();
  }

  void flush() {
    const auto bytes = std::as_bytes(std::span(records_));
    record_hasher_.add(bytes);
    beside_.append(bytes);
    records_.clear();
  }

  void check_documents() const {
    if (table_.documents > 0) return;
    const std::string where = indexed_.paths.size() == 1
                                  ? indexed_.paths.front()
                                  : fmt::format("{} and {} more files", indexed_.paths.front(),
                                                indexed_.paths.size() - 1);
    throw UsageError(
        longest_left_out_ == 0
            ? fmt::format("{}: there are only blanks: give a text", where)
            : fmt::format("{}: no document is long enough: the longest of {} has {} bytes, and "
                          "shorter ones than {} are left out; give longer documents",
                          where, table_.left_out, longest_left_out_, indexed_.least_bytes));
  }

  Files& files_;
  const IndexedFiles& indexed_;
  const CorpusProgress& progress_;
  const CorpusLines lines_;
  UnfinishedFile beside_;
  std::vector<IndexRecord> records_;  // that are not written yet
  Hasher record_hasher_;
  IndexTable table_;
  int64_t longest_left_out_ = 0;
};

// A name for what follows from these words.
std::string scratch_name(const std::vector<std::string>& words, const char* ending) {
  Hasher hasher;
  for (const std::string& word : words) hasher.add_text(word);
  return fmt::format("corpus-{}.{}", hasher.hex().substr(0, 16), ending);
}

// Whether everything is there, and made of the files as they are now.
bool index_is_true(Files& files, const IndexedFiles& indexed, const CorpusProgress& progress) {
  if (!corpus_index_exists(files, indexed)) return false;
  const IndexTable table = read_index_table(*files.open(index_path(files, indexed)));
  for (size_t i = 0; i < indexed.paths.size(); ++i) {
    if (i >= table.files.size()) return false;
    if (hash_of_file(files, indexed.paths[i], progress) != table.files[i].source_hash) return false;
  }
  return true;
}

}  // namespace

std::string index_path(Files& files, const IndexedFiles& indexed) {
  std::vector<std::string> words = {rules_version, indexed.text_key, indexed.model_folder,
                                    std::to_string(indexed.least_bytes)};
  // Documents that are chats are rendered with the model's template.
  for (const char* name : {"chat_template.jinja", "tokenizer_config.json"}) {
    const std::string file = join_path(indexed.model_folder, name);
    words.push_back(files.exists(file) ? hash_of_file(files, file, [](int64_t) {}) : "");
  }
  for (const std::string& path : indexed.paths) {
    words.push_back(files.resolve(path));
    words.push_back(std::to_string(files.open(path)->size()));
  }
  return join_path(indexed.scratch_dir, scratch_name(words, "index"));
}

std::string content_path(Files& files, const std::string& path, const std::string& scratch_dir) {
  if (packing_of(files, path) == Packing::none) return path;
  const auto size = std::to_string(files.open(path)->size());
  return join_path(scratch_dir, scratch_name({files.resolve(path), size}, "text"));
}

CorpusDiskBytes corpus_index_bytes(Files& files, const IndexedFiles& indexed) {
  CorpusDiskBytes bytes;
  int64_t text = 0, pieces = 0;
  const CorpusLines lines(files, indexed.model_folder, indexed.text_key);
  for (const std::string& path : indexed.paths) {
    const std::string unpacked = content_path(files, path, indexed.scratch_dir);
    const bool is_there = files.exists(unpacked);
    const ContentBegin begin = content_begin(files, is_there ? unpacked : path, bytes_of_begin);
    check_begin(begin.text, path, indexed.text_key, lines);
    if (!is_there) bytes.unpacked += begin.bytes;
    text += begin.bytes;
    pieces += begin.bytes / (longest_piece / 2) + 1;
  }
  if (files.exists(index_path(files, indexed))) return bytes;
  const int64_t table = 4096 + 64 * std::ssize(indexed.paths);
  bytes.index = bytes_of_record * (text / indexed.least_bytes + pieces) + table;
  return bytes;
}

bool corpus_index_exists(Files& files, const IndexedFiles& indexed) {
  return files.exists(index_path(files, indexed)) &&
         std::ranges::all_of(indexed.paths, [&](const std::string& path) {
           return files.exists(content_path(files, path, indexed.scratch_dir));
         });
}

void write_corpus_index(Files& files, const IndexedFiles& indexed, const CorpusProgress& progress) {
  if (index_is_true(files, indexed, progress)) return;
  files.make_directories(indexed.scratch_dir);
  for (const std::string& path : indexed.paths) {
    const std::string content = content_path(files, path, indexed.scratch_dir);
    if (content != path) unpack(files, path, content, progress);
  }
  IndexWriter(files, indexed, progress).write();
}

void remove_corpus_index(Files& files, const IndexedFiles& indexed) {
  if (!files.exists(indexed.scratch_dir)) return;
  const auto names = files.list(indexed.scratch_dir);
  const auto remove = [&](const std::string& path) {
    const std::string name = file_name(path), unfinished = file_name(unfinished_begin(path));
    for (const std::string& there : names) {
      if (there == name || there.starts_with(unfinished)) {
        files.remove(join_path(indexed.scratch_dir, there));
      }
    }
  };
  remove(index_path(files, indexed));
  for (const std::string& path : indexed.paths) {
    const std::string content = content_path(files, path, indexed.scratch_dir);
    if (content != path) remove(content);
  }
}

}  // namespace bitmill
