#pragma once
// A mutation of libFuzzer's, then a repair of what it broke.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace bitmill::fuzz {

// Every fourth input stays as broken as it is. `repair` takes and gives the whole input.
template <class Repair>
size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed, Repair repair) {
  const size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0) return mutated;
  const std::string whole = repair(std::string(reinterpret_cast<const char*>(data), mutated));
  if (whole.empty() || whole.size() > max_size) return mutated;
  std::memcpy(data, whole.data(), whole.size());
  return whole.size();
}

}  // namespace bitmill::fuzz
