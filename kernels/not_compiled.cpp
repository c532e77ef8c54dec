// The launchers of a build without CUDA.

#include "kernels/adamw.hpp"
#include "kernels/add_table.hpp"
#include "kernels/causal_softmax.hpp"
#include "kernels/combine.hpp"
#include "kernels/gated_activation.hpp"
#include "kernels/gather.hpp"
#include "kernels/launch.hpp"
#include "kernels/operands.hpp"
#include "kernels/pack_signs.hpp"
#include "kernels/pack_values.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/row_gradients.hpp"
#include "kernels/row_values.hpp"
#include "kernels/sample_loss.hpp"
#include "kernels/scatter.hpp"
#include "kernels/split_gradient.hpp"
#include "kernels/unpack_weight.hpp"

namespace bitmill::kernels {

bool compiled() { return false; }

const char* error_text(cudaError_t error) {
  return error == cudaSuccess
             ? "no error"
             : "this bitmill was built without CUDA kernels; build one that has them with "
               "cmake --preset cuda && cmake --build --preset cuda";
}

cudaError_t gather(const Gather& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t pack_signs(const PackSigns& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t scatter(const Scatter& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t add_tables(const AddTables& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t combine(const Combine& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t split_gradient(const SplitGradient& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t row_gradients(const RowGradients& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t signs_operand(const SignsOperand& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t codes_operand(const CodesOperand& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t adamw(const AdamWSlice& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t pack_latents(const PackLatents& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t pack_codes(const PackCodes& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t sample_loss(const SampleLoss& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t sample_loss_gradient(const SampleLoss& /*task*/, void* /*gradient*/,
                                 cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t gated_activation(const GatedActivation& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t gated_activation_gradient(const GatedActivationGradient& /*task*/,
                                      cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t row_values(const RowValues& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t unpack_weight(const UnpackWeight& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t rms_norm(const RmsNorm& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t rms_norm_gradient(const RmsNormGradient& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t causal_softmax(const CausalSoftmax& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t causal_softmax_gradient(const CausalSoftmaxGradient& /*task*/,
                                    cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

cudaError_t rotate(const Rotate& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

}  // namespace bitmill::kernels
