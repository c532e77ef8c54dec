// Speed of products on this machine, kernel by kernel: packed linears of 4096 x 4096 in cache and
// from memory, 64 tokens at once, two threads, and heads.
//
//   bench_product [ROUNDS] [KERNEL ...]     default: 15 rounds, all kernels that this machine runs
//
// All cases take turns, so that a disturbance meets all of them; a figure is the median over all
// calls, beside it that of the fastest tenth. One thread: its own processor time. Two threads: time
// on the clock, beside one thread on the clock. G/s: 10^9 weights times tokens a second. GB/s:
// bytes of weights.

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.hpp"
#include "format/packed_layout.hpp"
#include "product/dense_product.hpp"
#include "product/packed_product.hpp"

namespace bitmill {
namespace {

constexpr int64_t side = 4096, salient_cols = 820;      // of LLaMA-7B's attention, 20% salient
constexpr int64_t memory_bytes = int64_t{160} << 20;    // several times any cache of a core's share
constexpr int64_t head_rows = 32000, head_cols = 2048;  // 131 MB in 16 bits
constexpr double round_seconds = 0.05;                  // of one case in one round

double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// A stream of random words: xorshift64.
class Words {
 public:
  uint32_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>(state_);
  }

 private:
  uint64_t state_ = 88172645463325252U;
};

PackedLinear random_packed() {
  Words words;
  PackedLinear linear;
  linear.rows = linear.cols = side;
  linear.salient_cols = salient_cols;
  const auto fill = [&](std::vector<uint32_t>& vector, int64_t row_items, int64_t per_word) {
    const int64_t row_words = packed::words_for(row_items, per_word);
    vector.resize(side * row_words);
    for (auto& word : vector) word = words();
  };
  fill(linear.signs, linear.low_cols(), packed::bits_per_word);
  fill(linear.codes, salient_cols, packed::codes_per_word);
  linear.mask.resize(packed::words_for(side, packed::bits_per_word));
  for (int64_t i = 0; i < salient_cols; ++i) packed::set_bit(linear.mask.data(), i * 4 + i % 3);
  linear.code_zero.assign(packed::words_for(side, packed::codes_per_word), 0x88888888U);
  linear.row_scale.assign(side, float_to_half(0.02F));
  linear.row_mean.assign(side, float_to_half(0.001F));
  linear.code_scale.assign(side, float_to_half(0.01F));
  linear.col_gain.assign(linear.low_cols(), float_to_half(1.0F));
  return linear;
}

std::vector<float> random_input(int64_t count) {
  Words words;
  std::vector<float> values(count);
  for (auto& value : values) value = static_cast<float>(words()) * 0x1p-31F - 1.0F;
  return values;
}

// Something that is called again and again, and what it took.
struct BenchCase {
  std::string kernel, words;
  double products = 0, bytes = 0;  // of a call
  bool on_the_clock = false;
  std::function<void()> call;
  std::vector<double> seconds{};

  void measure() {
    const clockid_t clock = on_the_clock ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    const double end = clock_seconds(CLOCK_MONOTONIC) + round_seconds;
    do {
      const double start = clock_seconds(clock);
      call();
      seconds.push_back(clock_seconds(clock) - start);
    } while (clock_seconds(CLOCK_MONOTONIC) < end);
  }
  // The time that `share` of the calls did not exceed.
  double quantile(double share) {
    const auto place = static_cast<size_t>(share * static_cast<double>(seconds.size()));
    std::ranges::nth_element(seconds, seconds.begin() + static_cast<std::ptrdiff_t>(place));
    return seconds[place];
  }
};

// Copies of one product that are called in turn: one copy stays in cache, many do not.
struct ProductCopies {
  std::vector<std::unique_ptr<Product>> copies;
  size_t next = 0;

  static std::shared_ptr<ProductCopies> of(bool in_cache,
                                           const std::function<std::unique_ptr<Product>()>& make) {
    auto all = std::make_shared<ProductCopies>();
    all->copies.push_back(make());
    const int64_t count = in_cache ? 1 : memory_bytes / all->copies[0]->weight_bytes() + 1;
    while (std::ssize(all->copies) < count) all->copies.push_back(make());
    return all;
  }
};

class Bench {
 public:
  explicit Bench(int rounds) : rounds_(rounds), two_(2) {
    two_.spin_while_idle(std::chrono::microseconds(200));
  }

  void add_reading() {
    auto memory = std::make_shared<WeightMemory>();
    const auto bytes = memory->take(memory_bytes);
    std::ranges::fill(bytes, std::byte{1});
    const auto* const words = reinterpret_cast<const uint64_t*>(bytes.data());
    const int64_t count = memory_bytes / static_cast<int64_t>(sizeof(uint64_t));
    const auto sum = [memory, words, this](int64_t first, int64_t length) {
      sink_ = std::accumulate(words + first, words + first + length, uint64_t{0});
    };
    cases_.push_back(
        {"", "read memory, 1 thread", 0, memory_bytes, false, [sum, count] { sum(0, count); }});
    cases_.push_back({"", "read memory, 2 threads", 0, memory_bytes, true, [sum, count, this] {
                        two_.parallel_for(2, [&](int64_t i) { sum(i * count / 2, count / 2); });
                      }});
  }

  void add_products(const std::string& kernel) {
    const PackedLinear linear = random_packed();
    const auto packed = [&](Activations activations) {
      return [&, activations] {
        return make_packed_product(linear, "w", options(kernel, activations));
      };
    };
    const auto cached = ProductCopies::of(true, packed(Activations::int8));
    const auto far = ProductCopies::of(false, packed(Activations::int8));
    add(kernel, "int8, in cache", cached, 1);
    add(kernel, "int8, from memory", far, 1);
    add(kernel, "int8, 64 tokens, in cache", cached, 64);
    add(kernel, "int8, 64 tokens, from memory", far, 64);
    add(kernel, "int16, in cache", ProductCopies::of(true, packed(Activations::int16)), 1);
    add(kernel, "float32, in cache", ProductCopies::of(true, packed(Activations::float32)), 1);
    for (const auto& [words, copies] : {std::pair{"in cache", cached}, {"from memory", far}}) {
      add(kernel, fmt::format("int8, {}, clock, 1 thread", words), copies, 1, &one_);
      add(kernel, fmt::format("int8, {}, clock, 2 threads", words), copies, 1, &two_);
    }
    add_heads(kernel);
  }

  void run() {
    for (int round = 0; round < rounds_; ++round) {
      for (BenchCase& one : cases_) one.measure();
    }
    fmt::print("{:12} {:34} {:>10} {:>8} {:>8} {:>16}\n", "kernel", "", "median us", "G/s", "GB/s",
               "best tenth, G/s");
    for (BenchCase& one : cases_) {
      const double median = one.quantile(0.5);
      fmt::print("{:12} {:34} {:>10.1f} {:>8.1f} {:>8.1f} {:>16.1f}\n", one.kernel, one.words,
                 median * 1e6, one.products / median / 1e9, one.bytes / median / 1e9,
                 one.products / one.quantile(0.1) / 1e9);
    }
  }

 private:
  static ProductOptions options(const std::string& kernel, Activations activations) {
    return {activations, &choose_cpu_kernel(kernel), std::make_shared<WeightMemory>()};
  }

  // `pool`: the clock's time with its threads; without one, the processor time of this thread.
  void add(const std::string& kernel, const std::string& words,
           const std::shared_ptr<ProductCopies>& all, int64_t tokens, ThreadPool* pool = nullptr) {
    const Product& first = *all->copies[0];
    const double weights = static_cast<double>(first.rows() * first.cols());
    auto x = std::make_shared<std::vector<float>>(random_input(tokens * first.cols()));
    auto y = std::make_shared<std::vector<float>>(tokens * first.rows());
    ThreadPool& threads = pool != nullptr ? *pool : one_;
    const auto call = [all, x, y, tokens, &threads] {
      all->copies[all->next++ % all->copies.size()]->multiply(*x, tokens, *y, threads);
    };
    cases_.push_back({kernel, words, weights * static_cast<double>(tokens),
                      static_cast<double>(first.weight_bytes()), pool != nullptr, call});
  }

  void add_heads(const std::string& kernel) {
    std::vector<std::byte> weight(head_rows * head_cols * 2);
    from_float32(Dtype::bfloat16, random_input(head_rows * head_cols), weight);
    const auto one = [](std::unique_ptr<Product> product) {
      auto all = std::make_shared<ProductCopies>();
      all->copies.push_back(std::move(product));
      return all;
    };
    const auto head16 = one(make_dense_product(weight, Dtype::bfloat16, head_rows, head_cols,
                                               "head", options(kernel, Activations::float32)));
    add(kernel, "head, bfloat16, from memory", head16, 1);
    add(kernel, "head, bfloat16, 16 tokens", head16, 16);
    add(kernel, "head, int8, from memory",
        one(make_int8_product(weight, Dtype::bfloat16, head_rows, head_cols, "head",
                              options(kernel, Activations::int8))),
        1);
  }

  const int rounds_;
  ThreadPool one_{1};
  ThreadPool two_;
  std::vector<BenchCase> cases_;
  volatile uint64_t sink_ = 0;  // so that the sums are formed
};

}  // namespace
}  // namespace bitmill

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  std::vector<std::string> kernels(argv + std::min(argc, 2), argv + argc);
  if (kernels.empty()) kernels = bitmill::usable_cpu_kernels();
  bitmill::Bench bench(rounds);
  bench.add_reading();
  for (const std::string& kernel : kernels) bench.add_products(kernel);
  bench.run();
}
