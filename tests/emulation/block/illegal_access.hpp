#pragma once
// What a kernel must not touch: who did it, where, and how the words for it are made.

#include <cstddef>
#include <string>

namespace bitmill::emulation {

class BlockRunner;

// From now on a fault of the processor inside a kernel ends the block as a KernelFault. Faults
// elsewhere go to the handler that was there before. Each operating system thread calls it once.
void catch_illegal_accesses();

// "reads 4 bytes, 8 past the end of shared array 'bits' ..." ; `code` is an address in the kernel.
std::string access_words(const BlockRunner& runner, const void* address, size_t bytes, bool write,
                         const void* code);

}  // namespace bitmill::emulation
