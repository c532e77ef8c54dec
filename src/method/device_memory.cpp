#include "method/device_memory.hpp"

#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

constexpr int64_t float_size = 4, word_size = 4;

// Norms, biases and rotary tables.
int64_t table_bytes(const BlockSizes& sizes) {
  const ModelConfig& config = sizes.config();
  int64_t bytes = 0;
  for (const TensorShape& vector : block_vectors(config, 0)) {
    int64_t values = 1;
    for (const int64_t size : vector.shape) values *= size;
    bytes += device_tensor_bytes(values * float_size);
  }
  if (!sizes.rotates()) return bytes;
  return bytes + 2 * device_tensor_bytes(sizes.floats(config.head_dim));
}

// What LiveBlock keeps of InitialLinear for packing, beside the mean and the scale of the codes,
// which it shares with the operands: words of signs and codes, zeros of the codes, row scales.
// After coordinate descent it is on the host.
int64_t initial_bytes(const BlockSizes& sizes, const LinearSize& size) {
  const MethodSettings& method = sizes.method();
  if (method.init == Init::descent) return 0;
  const auto words = [&](int64_t items, int64_t per_word) {
    return device_tensor_bytes(size.rows * packed::words_for(items, per_word) * word_size);
  };
  return words(size.salient, packed::codes_per_word) +
         (method.learned.signs ? 0 : words(size.low, packed::bits_per_word)) +
         2 * device_tensor_bytes(size.rows * float_size);
}

// backend/cuda_linear.hpp.
int64_t operand_bytes(const BlockSizes& sizes) {
  int64_t bytes = table_bytes(sizes);
  for (const LinearSize& size : sizes.linears()) {
    const int64_t words = packed::words_for(size.cols, packed::bits_per_word) * word_size;
    bytes += device_tensor_bytes(size.rows * size.low_stride * sizes.element()) +
             device_tensor_bytes(size.rows * size.salient_stride * sizes.element()) +
             4 * device_tensor_bytes(size.rows * float_size) + 2 * device_tensor_bytes(words) +
             initial_bytes(sizes, size);
  }
  return bytes;
}

int64_t weight_bytes(const BlockSizes& sizes) {
  int64_t bytes = table_bytes(sizes);
  for (const LinearSize& size : sizes.linears()) {
    bytes += device_tensor_bytes(size.rows * size.cols * sizes.element());
  }
  return bytes;
}

}  // namespace

DeviceBlockBytes device_block_bytes(const ModelConfig& config, std::span<const LinearShape> linears,
                                    const MethodSettings& method, int64_t tokens,
                                    int64_t element_bytes) {
  const BlockSizes sizes(config, linears, method, tokens, element_bytes);
  return {.operands = operand_bytes(sizes),
          .unit = most_of_gradient(sizes),
          .weights = weight_bytes(sizes),
          .forward = most_of_forward(sizes),
          .attention_scratch = sizes.attention()};
}

}  // namespace bitmill
