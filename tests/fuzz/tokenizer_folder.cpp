// The tokenizer files of anybody's folder: vocab.json with merges.txt, and what stands beside them.

#include "fuzz/target.hpp"
#include "fuzz/use_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  fuzz::put_folder(files, "/m", fuzz::text_of(data, size));
  fuzz::may_refuse([&] { fuzz::use_tokenizer(*open_tokenizer(files, "/m")); });
  return 0;
}
