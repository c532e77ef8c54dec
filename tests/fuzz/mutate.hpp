#pragma once
// Mutates an input with libFuzzer, then repairs what the mutation broke.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace bitmill::fuzz {

// Every fourth input is not repaired. `repair` takes and returns the whole input.
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
