#include "product/input_table.hpp"

#include "base/pieces.hpp"
#include "format/dtype.hpp"
#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

// Kernels gather so many places at a time.
constexpr int64_t gather_unit = 16;

// Kernels take 4 digits at a time, and multiply them with the 4 bytes of a word. Bit b of byte i is
// low column 8 i + b of the word, so the columns of one b lie together.
int64_t digit_place_of_low(int64_t col) {
  const int64_t bit = col % packed::bits_per_word;
  return col - bit + bit % 8 * 4 + bit / 8;
}
// The lower halves of the 4 bytes are even columns, the upper ones odd columns.
int64_t digit_place_of_salient(int64_t col) {
  const int64_t code = col % packed::codes_per_word;
  return col - code + code % 2 * 4 + code / 2;
}

}  // namespace

InputTable::InputTable(const PackedLinear& linear, Activations activations) {
  set_places(rounded_up(linear.low_cols(), packed::bits_per_word),
             rounded_up(linear.salient_cols, gather_unit));
  const bool as_digits = activations != Activations::float32;
  int64_t low = 0, salient = 0;
  for (int64_t col = 0; col < linear.cols; ++col) {
    int64_t place;
    if (packed::get_bit(linear.mask.data(), col) != 0) {
      place = low_places_ + (as_digits ? digit_place_of_salient(salient) : salient);
      gain_[place] = 1.0F;
      ++salient;
    } else {
      place = as_digits ? digit_place_of_low(low) : low;
      gain_[place] = half_to_float(linear.col_gain[low]);
      ++low;
    }
    source_[place] = static_cast<int32_t>(col);
  }
  salient_cols_ = salient;
}

InputTable::InputTable(int64_t cols) {
  set_places(rounded_up(cols, gather_unit), 0);
  for (int64_t col = 0; col < cols; ++col) {
    source_[col] = static_cast<int32_t>(col);
    gain_[col] = 1.0F;
  }
}

void InputTable::set_places(int64_t low_places, int64_t salient_places) {
  low_places_ = low_places;
  source_.assign(low_places + salient_places, 0);
  gain_.assign(low_places + salient_places, 0.0F);
}

int64_t InputTable::stride(int64_t more) const {
  constexpr int64_t line = 64, page = 4096;
  const int64_t stride = rounded_up(places() + more, line);
  return stride % page == 0 ? stride + line : stride;
}

int64_t InputTable::resident_bytes() const {
  return places() * static_cast<int64_t>(sizeof(int32_t) + sizeof(float));
}

}  // namespace bitmill
