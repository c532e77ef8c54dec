#pragma once
// How this process gets memory from the system.

namespace bitmill {

// Keeps freed memory for the next allocation of its kind. Training allocates and frees the same
// megabytes at every step; giving them back in between costs a page fault per 4 KiB. Blocks of
// 32 MiB and more (weights) still go back at once. Call it first thing in main().
void keep_freed_memory();

}  // namespace bitmill
