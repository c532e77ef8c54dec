#include "product/product_abi.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "format/packed_linear.hpp"
#include "product/packed_product.hpp"
#include "product/product.hpp"

struct bitmill_threads {
  explicit bitmill_threads(int32_t threads) : pool(threads) {}
  bitmill::ThreadPool pool;
};
struct bitmill_options {
  bitmill::ProductOptions options;
};
struct bitmill_product {
  std::unique_ptr<bitmill::Product> product;
};

namespace bitmill {
namespace {

constexpr int32_t abi_version = 1;
constexpr size_t parts_of_a_linear = 8;

thread_local std::string last_error;

// What `work` returns; `failed` when it throws, and the words are kept.
template <class Result, class Work>
Result result_or(Result failed, const Work& work) noexcept {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    last_error = "there is no memory left";
  } catch (const std::exception& error) {
    last_error = error.what();
  } catch (...) {
    last_error = "an exception of an unknown kind";
  }
  return failed;
}

Activations activations_of(std::string_view word) {
  for (const auto one : {Activations::int8, Activations::int16, Activations::float32}) {
    if (word == activations_name(one)) return one;
  }
  throw UsageError(
      fmt::format("there are no activations \"{}\": choose int8, int16 or float32", word));
}

std::unique_ptr<Product> packed_product_of(const ProductOptions& options, const std::string& name,
                                           int64_t rows, int64_t cols, const void* const* parts,
                                           const int64_t* part_bytes) {
  BITMILL_CHECK(rows >= 0 && cols >= 0, UsageError,
                fmt::format("{}: there is no weight of {} rows and {} columns", name, rows, cols));
  std::array<std::span<const std::byte>, parts_of_a_linear> stored;
  for (size_t part = 0; part < stored.size(); ++part) {
    BITMILL_CHECK(part_bytes[part] >= 0, UsageError,
                  fmt::format("{}: part {} has {} bytes", name, part, part_bytes[part]));
    stored[part] = {static_cast<const std::byte*>(parts[part]),
                    static_cast<size_t>(part_bytes[part])};
  }
  return make_packed_product(copy_packed_linear(stored, rows, cols, name), name, options);
}

}  // namespace
}  // namespace bitmill

using bitmill::result_or;

int32_t bitmill_abi_version() { return bitmill::abi_version; }

const char* bitmill_error() { return bitmill::last_error.c_str(); }

bitmill_threads* bitmill_threads_create(int32_t threads, int64_t spin_microseconds) {
  return result_or<bitmill_threads*>(nullptr, [&] {
    BITMILL_CHECK(threads >= 1, bitmill::UsageError,
                  fmt::format("{} threads: products need at least one", threads));
    auto made = std::make_unique<bitmill_threads>(threads);
    made->pool.spin_while_idle(std::chrono::microseconds(spin_microseconds));
    return made.release();
  });
}

void bitmill_threads_destroy(bitmill_threads* threads) { delete threads; }

bitmill_options* bitmill_options_create(const char* activations, const char* kernel) {
  return result_or<bitmill_options*>(nullptr, [&] {
    return new bitmill_options{{bitmill::activations_of(activations),
                                &bitmill::choose_cpu_kernel(kernel),
                                std::make_shared<bitmill::WeightMemory>()}};
  });
}

void bitmill_options_destroy(bitmill_options* options) { delete options; }

const char* bitmill_kernel_name(const bitmill_options* options) {
  return options->options.kernel->name;
}

const char* bitmill_slow_kernel_note() {
  static const std::string note = bitmill::slow_kernel_note();
  return note.c_str();
}

bitmill_product* bitmill_packed_create(const bitmill_options* options, const char* name,
                                       int64_t rows, int64_t cols, const void* const parts[8],
                                       const int64_t part_bytes[8]) {
  return result_or<bitmill_product*>(nullptr, [&] {
    return new bitmill_product{
        bitmill::packed_product_of(options->options, name, rows, cols, parts, part_bytes)};
  });
}

void bitmill_product_destroy(bitmill_product* product) { delete product; }

int64_t bitmill_product_bytes(const bitmill_product* product) {
  return product->product->resident_bytes();
}

int32_t bitmill_product_multiply(const bitmill_product* product, bitmill_threads* threads,
                                 const float* x, int64_t tokens, float* y) {
  return result_or<int32_t>(0, [&] {
    const bitmill::Product& weight = *product->product;
    BITMILL_CHECK(tokens >= 0, bitmill::UsageError,
                  fmt::format("{} tokens cannot be multiplied", tokens));
    weight.multiply({x, static_cast<size_t>(tokens * weight.cols())}, tokens,
                    {y, static_cast<size_t>(tokens * weight.rows())}, threads->pool);
    return 1;
  });
}
