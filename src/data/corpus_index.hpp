#pragma once
// Which documents the texts of a corpus hold, and where: made once, kept in the scratch folder.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/corpus_text.hpp"

namespace bitmill {

// What an index depends on.
struct IndexedFiles {
  std::vector<std::string> paths;
  std::string text_key;
  std::string model_folder;  // whose chat template renders chats
  int64_t least_bytes = 0;
  std::string scratch_dir;
};

// Documents of all files follow each other without a gap: byte 0 of the text is the first byte of
// document 0.
struct IndexedDocument {
  int64_t begin = 0;  // its first byte in the text
  int64_t bytes = 0;
  bool continues = false;  // the document before goes on here: it was too long for one

  int64_t end() const { return begin + bytes; }
};

// Const methods may be called from several threads at once.
class CorpusIndex {
 public:
  CorpusIndex(Files& files, const IndexedFiles& indexed);
  ~CorpusIndex();

  int64_t documents() const;
  int64_t text_bytes() const;
  std::string content_hash() const;

  IndexedDocument document(int64_t number) const;
  // The document that byte `place` of the text lies in. REQUIRES: 0 <= place < text_bytes().
  int64_t document_at(int64_t place) const;
  CorpusText read(int64_t number) const;

 private:
  struct Content;
  std::unique_ptr<Content> content_;
};

}  // namespace bitmill
