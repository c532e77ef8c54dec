#pragma once
// A model's tensors on the rank's device. On a CPU these are the same tensors.
//
// Matrices (linears, projection, head) are in the device's operand type, all else in float32: the
// kernels take it so, and vectors are small. Each tensor is brought once.

#include "device/device.hpp"
#include "format/packed_linear.hpp"
#include "model/rotary.hpp"
#include "model/source_model.hpp"

namespace bitmill {

BlockVectors on_device(const BlockVectors& vectors, const Device& device);
BlockWeights on_device(const BlockWeights& weights, const Device& device);
HeadWeights on_device(const HeadWeights& head, const Device& device);
Rotary on_device(const Rotary& rotary, const Device& device);

// The weight [rows, cols] that a packed linear stands for, on the device, in its operand type. To a
// GPU go the packed words, and a kernel widens them there; the values are those of dequantize(),
// rounded once. On a CPU this thread does it.
at::Tensor dense_on(const Device& device, const PackedLinear& packed);
// load_block(), on the device. Packed linears become dense as above.
BlockWeights load_on(const Device& device, const SourceModel& model, int64_t block);

}  // namespace bitmill
