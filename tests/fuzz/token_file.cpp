// A token file of anybody's, cut into windows.

#include "data/window_check.hpp"
#include "data/windows.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/t.safetensors", std::string(fuzz::text_of(data, size)));
  fuzz::may_refuse([&] {
    const Tokens tokens = read_tokens(files, "/t.safetensors", "/no-model", 1000);
    fuzz::may_refuse([&] {
      const Windows windows = calibration_windows(tokens, 3, 2, 0);
      calibration_notes(tokens, windows);
      check_enough_windows(tokens, windows);
    });
    fuzz::may_refuse([&] { parted_windows(tokens, 3, 1, 2, 0); });
    fuzz::may_refuse([&] { evaluation_windows(tokens, 2, 0); });
  });
  return 0;
}
