// Makes a corpus of JSON lines of a given size, prepares and opens it, takes sequences from it, and
// prints how much memory that took at most. For corpus_memory.sh.
//
//   corpus_memory BYTES FOLDER MODEL

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>

#include "base/random.hpp"
#include "base/stopwatch.hpp"
#include "data/training_corpus.hpp"

namespace bitmill {
namespace {

// Documents of 200 to 4,000 bytes, no two alike.
void write_corpus(Files& files, const std::string& path, int64_t bytes) {
  const auto file = files.create(path);
  std::string lines;
  int64_t written = 0;
  for (uint64_t document = 0; written < bytes; ++document) {
    const auto length = 200 + random_below(1, RandomPurpose::test_data, document, 3'800);
    std::string text;
    for (uint64_t word = document; text.size() < length; word = word * 2654435761 + 1) {
      text += fmt::format("the {} river {} ", word % 1'000'003, document);
    }
    lines += fmt::format("{{\"id\": {}, \"text\": \"{}\"}}\n", document, text);
    if (lines.size() < size_t{1} << 20 && written + std::ssize(lines) < bytes) continue;
    file->append(std::as_bytes(std::span(lines)));
    written += std::ssize(lines);
    lines.clear();
  }
  file->close();
}

int64_t peak_kibibytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void measure(int64_t bytes, const std::string& folder, const std::string& model) {
  const auto files = posix_files();
  CorpusOptions options;
  options.paths = {join_path(folder, "corpus.jsonl")};
  options.model_folder = model;
  options.vocab_size = 1 << 20;
  options.seq_len = 512;
  options.scratch_dir = join_path(folder, "scratch");
  write_corpus(*files, options.paths.front(), bytes);
  Stopwatch stopwatch;
  prepare_corpus(*files, options);
  const double prepared = stopwatch.seconds();
  int64_t documents = 0, tokens = 0;
  for (const CorpusCut cut : {CorpusCut::documents, CorpusCut::packed}) {
    options.cut = cut;
    const TrainingCorpus corpus(*files, options);
    if (cut == CorpusCut::documents) documents = corpus.size();
    for (int64_t i = 0; i < 1000; ++i) tokens += std::ssize(corpus.sequence(i));
  }
  fmt::print("bytes {} documents {} tokens {} prepared_s {:.1f} taken_s {:.1f} peak_kib {}\n",
             bytes, documents, tokens, prepared, stopwatch.seconds() - prepared, peak_kibibytes());
}

}  // namespace
}  // namespace bitmill

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: corpus_memory BYTES FOLDER MODEL\n", stderr);
    return 2;
  }
  try {
    bitmill::measure(std::atoll(argv[1]), argv[2], argv[3]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
