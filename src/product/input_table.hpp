#pragma once
// Where the columns of a product's input lie: the order that the kernels want (kernels/cpu), and
// what each column is multiplied by on its way there.

#include <cstdint>
#include <vector>

#include "format/packed_linear.hpp"
#include "kernels/cpu/kernel.hpp"
#include "product/product.hpp"

namespace bitmill {

class InputTable {
 public:
  // Of a packed linear: its low columns times col_gain, then its salient columns.
  InputTable(const PackedLinear& linear, Activations activations);
  // Of any other: `cols` columns in their order, all of them "low".
  explicit InputTable(int64_t cols);

  // A token has low_places() + salient_places() places, in that order, some of them empty (0).
  int64_t low_places() const { return low_places_; }
  int64_t salient_places() const { return places() - low_places_; }
  int64_t places() const { return static_cast<int64_t>(source_.size()); }
  int64_t salient_cols() const { return salient_cols_; }
  // Places from a token to the next, where a token has `more` behind its own: 64-byte lines, and
  // the tokens of a block do not share places in the processor's cache.
  int64_t stride(int64_t more = 0) const;

  kernels::cpu::GatherTable low() const { return {source_.data(), gain_.data(), low_places_}; }
  kernels::cpu::GatherTable salient() const {
    return {source_.data() + low_places_, gain_.data() + low_places_, salient_places()};
  }
  int64_t resident_bytes() const;

 private:
  // 0 times column 0: an empty place.
  void set_places(int64_t low_places, int64_t salient_places);

  std::vector<int32_t> source_;  // [places]
  std::vector<float> gain_;      // [places]
  int64_t low_places_ = 0;
  int64_t salient_cols_ = 0;
};

}  // namespace bitmill
