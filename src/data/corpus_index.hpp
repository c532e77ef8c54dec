#pragma once
// Which documents the texts of a corpus hold, and where: made once, kept in the scratch folder.
//
// An index is one file: a record of 32 bytes for each document, and behind them a table in JSON,
// with hashes of both. Its name follows from paths and sizes of the files, and from what else it
// depends on. Unpacked files lie beside it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/corpus_text.hpp"

namespace bitmill {

struct IndexRecord;  // corpus_index_file.hpp

// Hears how many bytes were read or unpacked since it heard last. What it throws ends the work.
using CorpusProgress = std::function<void(int64_t bytes)>;

// What an index depends on.
struct IndexedFiles {
  std::vector<std::string> paths;
  std::string text_key;
  std::string model_folder;  // whose chat template renders chats
  int64_t least_bytes = 0;   // of a document
  std::string scratch_dir;
};

inline constexpr int64_t bytes_of_record = 32;

// The path of the index.
std::string index_path(Files& files, const IndexedFiles& indexed);
// Where the content of `path` lies: `path` itself where it is not compressed.
std::string content_path(Files& files, const std::string& path, const std::string& scratch_dir);

// Unpacks what is compressed, and writes the index, where they are not there yet, or were made of
// files that have changed since. Files are written beside, under a name of this process, synced and
// renamed. Errors as in prepare_corpus(); an index that is damaged is one.
void write_corpus_index(Files& files, const IndexedFiles& indexed, const CorpusProgress& progress);

// Whether all of it is there. Does not look whether the files have changed.
bool corpus_index_exists(Files& files, const IndexedFiles& indexed);
// With what this host left unfinished. No process may be preparing there.
void remove_corpus_index(Files& files, const IndexedFiles& indexed);

// What a corpus takes on disk, beside its files.
struct CorpusDiskBytes {
  int64_t unpacked = 0;  // about: see ContentBegin (corpus_unpack.hpp)
  int64_t index = 0;     // at most, for as much text as that
};
// What write_corpus_index() would write. Looks at the first MiB of each content, reads nothing
// behind it, and throws what write_corpus_index() would throw there.
CorpusDiskBytes corpus_index_bytes(Files& files, const IndexedFiles& indexed);

// Documents of all files follow each other without a gap: byte 0 of the text is the first byte of
// document 0.
struct IndexedDocument {
  int64_t begin = 0;  // its first byte in the text
  int64_t bytes = 0;
  bool continues = false;  // the document before goes on here: it was too long for one

  int64_t end() const { return begin + bytes; }
};

// Const methods may be called from several threads at once. Documents are read when they are asked
// for; in memory are only paths and counts.
class CorpusIndex {
 public:
  // UsageError where there is no index. FormatError where it is damaged, or a file has another size
  // than it had.
  CorpusIndex(Files& files, const IndexedFiles& indexed);
  ~CorpusIndex();

  int64_t documents() const;  // at least 1
  int64_t text_bytes() const;
  int64_t left_out() const;  // documents that are too short
  std::string content_hash() const;

  // REQUIRES for both numbers: 0 <= number < documents().
  IndexedDocument document(int64_t number) const;
  // FormatError where the file does not have the same bytes there any more.
  CorpusText read(int64_t number) const;
  // The document that byte `place` of the text lies in. REQUIRES: 0 <= place < text_bytes().
  int64_t document_at(int64_t place) const;

 private:
  struct Table;
  IndexRecord record(int64_t number) const;

  Files& files_;
  const std::vector<std::string> paths_;
  const CorpusLines lines_;
  const std::unique_ptr<InputFile> file_;
  const std::unique_ptr<Table> table_;
};

}  // namespace bitmill
