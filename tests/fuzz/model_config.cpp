// A config.json of anybody's, and the sizes that follow from it.

#include "fuzz/target.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/m/config.json", std::string(fuzz::text_of(data, size)));
  fuzz::may_refuse([&] {
    const ModelConfig config = read_model_config(files, "/m");
    for (const int64_t block : {int64_t{0}, config.blocks - 1}) {
      for (const LinearShape& linear : block_linears(config, block)) {
        if (linear.rows < 1 || linear.cols < 1 || linear.rows > INT64_MAX / linear.cols / 4) {
          __builtin_trap();  // whoever allocates such a matrix trusts that it has a size
        }
      }
    }
  });
  return 0;
}
