#pragma once
// The bytes of an index (corpus_index.hpp): shared by who writes and who reads it.
//
//   records   32 bytes for each document, in order
//   table     JSON, IndexTable
//   32 bytes  hash of the table
//   8 bytes   length of the table, little-endian
//   8 bytes   "bmindex1"

#include <cstdint>
#include <cstring>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// Little-endian, as all machines that bitmill runs on.
struct IndexRecord {
  uint64_t begin = 0;      // of the text, bytes
  uint64_t offset = 0;     // of the stored bytes in the content of the file
  uint32_t stored = 0;     // bytes: of a text, or of a line of JSON
  uint32_t bytes = 0;      // of the text
  uint32_t check = 0;      // the last 32 bits of the hash of the stored bytes
  uint32_t file : 31 = 0;  // which of the paths
  uint32_t continues : 1 = 0;
};
static_assert(sizeof(IndexRecord) == 32);

struct IndexedFile {
  int64_t content_bytes = 0;
  bool is_json_lines = false;
  std::string source_hash;  // of the file as it was given, compressed or not
};

struct IndexTable {
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t left_out = 0;
  std::string content_hash;  // of the content of all files, text_key and least_bytes
  std::string record_hash;   // of all records
  std::vector<IndexedFile> files;
};

// All that stands behind the records.
std::string index_end(const IndexTable& table);
// FormatError for anything that write_corpus_index() does not write. Reads all records once.
IndexTable read_index_table(const InputFile& file);

// What the stored bytes of a document are checked with.
uint32_t check_of(std::string_view stored);

}  // namespace bitmill
