// libFuzzer's mutations of an input that is one safetensors file.

#include "fuzz/mutate.hpp"
#include "fuzz/tensor_frame.hpp"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return bitmill::fuzz::mutate(data, size, max_size, seed,
                               [](const std::string& text) { return bitmill::fuzz::framed(text); });
}
