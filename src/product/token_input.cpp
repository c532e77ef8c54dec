#include "product/token_input.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "base/error.hpp"

namespace bitmill {
namespace {

// The largest whole numbers: 127, and 127 * 256 + 127, both of whose digits fit a byte.
constexpr float largest_one_digit = 127.0F;
constexpr float largest_two_digits = 32639.0F;
// Inputs that are smaller in magnitude count as 0: their scale could not be divided by.
constexpr float smallest_input = 0x1p-100F;
constexpr uint32_t infinite_bits = 0x7F800000U;
// int8: the largest salient input over their root mean square, from which on one digit is too
// coarse for the others.
constexpr int64_t coarse_crest = 8;

// The whole numbers of one part (low or salient) of a token.
struct RoundedPart {
  float scale = 0;
  int32_t sums[2] = {0, 0};
};

RoundedPart round_part(const CpuKernel& kernel, std::span<const float> values, float largest,
                       int digits, int8_t* first, int8_t* second) {
  RoundedPart part;
  const float level = digits == 2 ? largest_two_digits : largest_one_digit;
  // Below, all digits are 0: the memory is fresh.
  if (largest < smallest_input) return part;
  part.scale = largest / level;
  const auto count = static_cast<int64_t>(values.size());
  if (digits == 2) {
    kernel.round_two_digits(values.data(), count, level / largest, first, second, part.sums);
  } else {
    part.sums[0] = kernel.round_one_digit(values.data(), count, level / largest, first);
  }
  return part;
}

// Whether the digits' root mean square is below largest / coarse_crest. Whole numbers: the answer
// is the same on every kernel.
bool is_coarse(std::span<const int8_t> digits, int64_t cols) {
  int32_t squares = 0;  // at most 2^17 columns, 127^2 each
  for (const int8_t digit : digits) squares += digit * digit;
  constexpr auto largest = static_cast<int64_t>(largest_one_digit);
  return int64_t{squares} * coarse_crest * coarse_crest < largest * largest * cols;
}

}  // namespace

DigitTokens::DigitTokens(const InputMaker& maker, Activations activations, std::span<const float> x,
                         int64_t tokens, ThreadPool& pool)
    : tokens_(tokens),
      digits_(activations == Activations::int16 ? 2 : 1),
      high_salient_(digits_ == 1 ? maker.table.salient_places() : 0),
      stride_(maker.table.stride(high_salient_)),
      values_(tokens * digits_ * stride_),
      sums_(tokens * digits_),
      scales_(tokens),
      has_high_(tokens) {
  pool.parallel_for(
      tokens, [&](int64_t token) { round_token(maker, x.data() + token * maker.cols, token); });
}

void DigitTokens::round_token(const InputMaker& maker, const float* x, int64_t token) {
  const InputTable& table = maker.table;
  const auto gathered = std::make_unique_for_overwrite<float[]>(table.places());
  const std::span<float> low(gathered.get(), table.low_places());
  const std::span<float> salient(low.data() + low.size(), table.salient_places());
  const uint32_t low_bits = maker.kernel.gather(x, table.low(), low.data());
  const uint32_t salient_bits = maker.kernel.gather(x, table.salient(), salient.data());
  BITMILL_CHECK(low_bits < infinite_bits && salient_bits < infinite_bits, NumericError,
                fmt::format("{}: the input of token {} holds a number that is not finite: an "
                            "earlier layer overflowed, or a weight is damaged (try \"bitmill "
                            "verify\")",
                            maker.name, token));
  int8_t* const first = values_.data() + token * digits_ * stride_;
  int8_t* const second = first + (digits_ - 1) * stride_;
  const RoundedPart low_part =
      round_part(maker.kernel, low, std::bit_cast<float>(low_bits), digits_, first, second);
  const int64_t at = table.low_places();
  const RoundedPart salient_part = round_part(
      maker.kernel, salient, std::bit_cast<float>(salient_bits), digits_, first + at, second + at);
  for (int digit = 0; digit < digits_; ++digit) {
    sums_[token * digits_ + digit] = {low_part.sums[digit], salient_part.sums[digit]};
  }
  const int64_t total =
      digits_ == 2 ? int64_t{256} * low_part.sums[0] + low_part.sums[1] : int64_t{low_part.sums[0]};
  scales_[token] = {low_part.scale, salient_part.scale, static_cast<float>(total)};
  if (high_salient_ > 0 && salient_part.scale > 0 &&
      is_coarse({first + at, salient.size()}, table.salient_cols())) {
    round_salient_finely(maker, salient, std::bit_cast<float>(salient_bits), token);
  }
}

void DigitTokens::round_salient_finely(const InputMaker& maker, std::span<const float> salient,
                                       float largest, int64_t token) {
  int8_t* const low_digits = values_.data() + token * stride_ + maker.table.low_places();
  int8_t* const high_digits = low_digits + high_salient_;
  const RoundedPart part = round_part(maker.kernel, salient, largest, 2, high_digits, low_digits);
  scales_[token].salient = part.scale;
  sums_[token].salient_high = part.sums[0];
  sums_[token].salient = part.sums[1];
  has_high_[token] = 1;
}

kernels::cpu::DigitInput DigitTokens::view() const {
  const bool any_high = std::ranges::find(has_high_, 1) != has_high_.end();
  return {tokens_,
          digits_,
          values_.data(),
          stride_,
          sums_.data(),
          scales_.data(),
          any_high ? high_salient_ : 0};
}

FloatTokens::FloatTokens(const InputMaker& maker, std::span<const float> x, int64_t tokens,
                         ThreadPool& pool)
    : tokens_(tokens), stride_(maker.table.stride()), values_(tokens * stride_), sums_(tokens) {
  pool.parallel_for(tokens, [&](int64_t token) {
    const float* const from = x.data() + token * maker.cols;
    float* const to = values_.data() + token * stride_;
    maker.kernel.gather(from, maker.table.low(), to);
    maker.kernel.gather(from, maker.table.salient(), to + maker.table.low_places());
    double sum = 0;  // exact enough that its order does not matter, and in one order all the same
    for (int64_t place = 0; place < maker.table.low_places(); ++place) sum += to[place];
    sums_[token] = static_cast<float>(sum);
  });
}

kernels::cpu::FloatInput FloatTokens::view() const {
  return {tokens_, values_.data(), stride_, sums_.data()};
}

}  // namespace bitmill
