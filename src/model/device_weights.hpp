#pragma once
// A model's tensors on the rank's device. On a CPU these are the same tensors.
//
// Matrices (linears, projection, head) are in the device's operand type, all else in float32: the
// kernels take it so, and vectors are small. Each tensor is brought once.

#include "device/device.hpp"
#include "model/rotary.hpp"
#include "model/source_model.hpp"

namespace bitmill {

BlockVectors on_device(const BlockVectors& vectors, const Device& device);
BlockWeights on_device(const BlockWeights& weights, const Device& device);
HeadWeights on_device(const HeadWeights& head, const Device& device);
Rotary on_device(const Rotary& rotary, const Device& device);

}  // namespace bitmill
