// A tokenizer.model of anybody's: a sentencepiece model, or tiktoken's ranks.

#include "fuzz/target.hpp"
#include "fuzz/use_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/m/tokenizer.model", std::string(fuzz::text_of(data, size)));
  fuzz::may_refuse([&] { fuzz::use_tokenizer(*open_tokenizer(files, "/m")); });
  return 0;
}
