#include "model/device_weights.hpp"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "format/packed_layout.hpp"
#include "kernels/columns.hpp"
#include "kernels/unpack_weight.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// An undefined tensor stays one.
at::Tensor bring_if_defined(const at::Tensor& tensor, const Device& device, at::ScalarType type) {
  return tensor.defined() ? device.bring(tensor, type) : tensor;
}

Norm bring_norm(const Norm& norm, const Device& device) {
  return {bring_if_defined(norm.weight, device, at::kFloat),
          bring_if_defined(norm.bias, device, at::kFloat)};
}

std::vector<at::Tensor> bring_all(const std::vector<at::Tensor>& tensors, const Device& device,
                                  at::ScalarType type) {
  std::vector<at::Tensor> there;
  for (const at::Tensor& tensor : tensors) there.push_back(bring_if_defined(tensor, device, type));
  return there;
}

// float16 values as float32 on the device.
at::Tensor bring_halves(const std::vector<uint16_t>& halves, const Device& device) {
  auto* const memory = const_cast<uint16_t*>(halves.data());  // only read
  return device.bring(at::from_blob(memory, {std::ssize(halves)}, at::dtype(at::kHalf)),
                      at::kFloat);
}

at::Tensor bring_zeros(const PackedLinear& packed, const Device& device) {
  const at::Tensor zeros = at::empty({packed.rows});
  for (int64_t row = 0; row < packed.rows; ++row) {
    zeros.mutable_data_ptr<float>()[row] =
        static_cast<float>(packed::get_code(packed.code_zero.data(), row));
  }
  return device.bring(zeros, at::kFloat);
}

at::Tensor unpack_on_gpu(const Device& device, const PackedLinear& packed) {
  const at::Device gpu = device.torch();
  const at::Tensor signs = words_on(gpu, packed.signs), codes = words_on(gpu, packed.codes);
  const at::Tensor mask = words_on(gpu, packed.mask);
  const at::Tensor low_before = words_on(gpu, kernels::count_low_before(packed.mask));
  const at::Tensor row_scale = bring_halves(packed.row_scale, device);
  const at::Tensor row_mean = bring_halves(packed.row_mean, device);
  const at::Tensor code_scale = bring_halves(packed.code_scale, device);
  const at::Tensor code_zero = bring_zeros(packed, device);
  const at::Tensor col_gain = bring_halves(packed.col_gain, device);
  at::Tensor dense = at::empty({packed.rows, packed.cols}, at::device(gpu).dtype(device.operand()));
  const kernels::UnpackWeight task{
      word_memory(signs),
      word_memory(codes),
      {word_memory(mask), low_before.const_data_ptr<int32_t>(), packed.cols, packed.low_cols()},
      row_scale.const_data_ptr<float>(),
      row_mean.const_data_ptr<float>(),
      code_scale.const_data_ptr<float>(),
      code_zero.const_data_ptr<float>(),
      col_gain.const_data_ptr<float>(),
      dense.data_ptr(),
      packed.rows,
      element_of(dense)};
  check_cuda(kernels::unpack_weight(task, stream_of(dense)), "unpack_weight");
  return dense;
}

}  // namespace

BlockVectors on_device(const BlockVectors& vectors, const Device& device) {
  return {.input_norm = bring_norm(vectors.input_norm, device),
          .middle_norm = bring_norm(vectors.middle_norm, device),
          .query_norm = bring_norm(vectors.query_norm, device),
          .key_norm = bring_norm(vectors.key_norm, device),
          .biases = bring_all(vectors.biases, device, at::kFloat)};
}

BlockWeights on_device(const BlockWeights& weights, const Device& device) {
  return {on_device(weights.vectors, device), bring_all(weights.linears, device, device.operand())};
}

HeadWeights on_device(const HeadWeights& head, const Device& device) {
  return {bring_norm(head.norm, device),
          bring_if_defined(head.projection, device, device.operand()),
          bring_if_defined(head.head, device, device.operand())};
}

Rotary on_device(const Rotary& rotary, const Device& device) {
  return {bring_if_defined(rotary.cosine, device, at::kFloat),
          bring_if_defined(rotary.sine, device, at::kFloat)};
}

at::Tensor dense_on(const Device& device, const PackedLinear& packed) {
  if (device.torch().is_cuda()) return unpack_on_gpu(device, packed);
  at::Tensor dense = at::empty({packed.rows, packed.cols});
  dequantize(packed, floats_of(dense));
  return device.bring(dense, device.operand());
}

BlockWeights load_on(const Device& device, const SourceModel& model, int64_t block) {
  BlockWeights weights{on_device(model.load_vectors(block), device), {}};
  const TensorFolder& tensors = model.tensors();
  for (const LinearShape& shape : block_linears(model.config(), block)) {
    if (is_packed(tensors, shape.tensor)) {
      weights.linears.push_back(
          dense_on(device, read_packed_linear(tensors, shape.tensor, shape.rows, shape.cols)));
    } else {
      weights.linears.push_back(device.bring(model.load_linear(shape), device.operand()));
    }
  }
  return weights;
}

}  // namespace bitmill
