#include "model/device_weights.hpp"

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

}  // namespace bitmill
