// Anybody's texts, JSON lines and gzip files as a corpus: indexed, and cut into sequences both
// ways, with a byte-level tokenizer of three tokens. What the contract promises of sequences is
// held.

#include <cassert>

#include "data/training_corpus.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/m/tokenizer.json", R"({"model": {"type": "BPE", "merges": [["a", "b"]],
      "vocab": {"a": 0, "b": 1, "ab": 2}}, "pre_tokenizer": {"type": "ByteLevel"}})");
  CorpusOptions options;
  options.model_folder = "/m";
  options.vocab_size = 3;
  options.seq_len = 4;
  options.least_bytes = 2;
  options.held_out_denominator = 5;
  options.scratch_dir = "/s";
  for (const char* path : {"/t.jsonl", "/t.txt", "/t", "/t.jsonl.gz"}) {
    files.put(path, std::string(fuzz::text_of(data, size)));
    options.paths = {path};
    for (const CorpusCut cut : {CorpusCut::documents, CorpusCut::packed}) {
      options.cut = cut;
      options.held_out_numerator = cut == CorpusCut::packed ? 1 : 0;
      fuzz::may_refuse([&] {
        prepare_corpus(files, options);
        const TrainingCorpus corpus(files, options);
        for (int64_t i = 0; i < std::min<int64_t>(corpus.size(), 8); ++i) {
          const auto ids = corpus.sequence(i);
          assert(ids.size() >= 2 && ids.size() <= 4);
          assert(cut == CorpusCut::documents || ids.size() == 4);
        }
      });
    }
  }
  return 0;
}
