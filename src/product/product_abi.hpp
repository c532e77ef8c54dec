#pragma once
// Products for callers in other languages: a C interface, which libbitmill.so exports and nothing
// else (library.map). src/python calls it. No C++ type, and no exception, crosses it.
//
// Every function that can fail says so by its result, null or 0 where nothing else is said;
// bitmill_error() then has the reason. Handles belong to the caller, who destroys each once; to
// destroy null does nothing.

#include <cstdint>

extern "C" {

// Which contract this is: it changes with any change of what stands here. A caller that was written
// for another number must not call anything else.
int32_t bitmill_abi_version();

// What the last call of this thread that failed had to say: UTF-8, valid until the next one fails.
const char* bitmill_error();

// The threads of products, see ThreadPool. `threads` >= 1 counts the caller. After a product they
// look for the next one for so many microseconds before they sleep. Any number of calls may share
// them at the same time. A child of fork() has none of them: it makes its own.
struct bitmill_threads;
bitmill_threads* bitmill_threads_create(int32_t threads, int64_t spin_microseconds);
void bitmill_threads_destroy(bitmill_threads* threads);

// What the products of one model share: precision, kernel, memory. `activations`: "int8", "int16",
// "float32"; `kernel`: "auto", or a kernel's name, as choose_cpu_kernel() takes it. It may be
// destroyed before the products that were made with it.
struct bitmill_options;
bitmill_options* bitmill_options_create(const char* activations, const char* kernel);
void bitmill_options_destroy(bitmill_options* options);
// The name of the kernel that was chosen. It lives forever.
const char* bitmill_kernel_name(const bitmill_options* options);
// Why "auto" takes a slow kernel here; "" when it takes a fast one. It lives forever.
const char* bitmill_slow_kernel_note();

// A packed linear [rows, cols] (make_packed_product). `parts`: signs, codes, mask, code_zero,
// row_scale, row_mean, col_gain, code_scale, as a packed folder stores them (FORMAT.md), and
// `part_bytes` the size of each. They are checked as those of a folder are, and copied: the caller
// may free them. `name` is for errors.
struct bitmill_product;
bitmill_product* bitmill_packed_create(const bitmill_options* options, const char* name,
                                       int64_t rows, int64_t cols, const void* const parts[8],
                                       const int64_t part_bytes[8]);
void bitmill_product_destroy(bitmill_product* product);
// Bytes of memory that it holds.
int64_t bitmill_product_bytes(const bitmill_product* product);

// 1 when done. x: [tokens, cols], y: [tokens, rows], both row-major without gaps, tokens >= 0; y is
// overwritten, and means nothing after a failure. Safe from several threads. Fails for a number of
// x that is not finite when the activations are int8 or int16.
int32_t bitmill_product_multiply(const bitmill_product* product, bitmill_threads* threads,
                                 const float* x, int64_t tokens, float* y);

}  // extern "C"
