#include "method/first_latents.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <vector>

#include "format/packed_layout.hpp"
#include "method/descent.hpp"
#include "method/grid.hpp"

namespace bitmill {

at::Tensor first_latents(const PackedLinear& packed, const at::Tensor& original, ThreadPool& pool) {
  std::vector<int64_t> low;
  for (int64_t col = 0; col < packed.cols; ++col) {
    if (packed::get_bit(packed.mask.data(), col) == 0) low.push_back(col);
  }
  const auto count = std::ssize(low);
  const int64_t words = packed::words_for(count, packed::bits_per_word);
  at::Tensor latents = at::empty({packed.rows, count});
  const float* const source = original.const_data_ptr<float>();
  auto* const out = latents.data_ptr<float>();
  pool.parallel_for(packed.rows, [&](int64_t row) {
    std::vector<float> values;
    for (const int64_t col : low) values.push_back(source[row * packed.cols + col]);
    const RowMoments moments = row_moments(values);
    const uint32_t* const signs = packed.signs.data() + row * words;
    for (int64_t j = 0; j < count; ++j) {
      const bool positive = packed::get_bit(signs, j) != 0;
      const float deviation = values[static_cast<size_t>(j)] - moments.mean;
      float theta = moments.mean_deviation == 0 ? 0.0F : deviation / moments.mean_deviation;
      theta = std::clamp(theta, -largest_first_latent, largest_first_latent);
      const bool agrees = moments.mean_deviation != 0 && (theta >= 0) == positive;
      const float weak = positive ? first_latent_of_changed_sign : -first_latent_of_changed_sign;
      out[row * count + j] = agrees ? theta : weak;
    }
  });
  return latents;
}

}  // namespace bitmill
