#pragma once
// Every product of a job once, on one GPU and with any numbers, so that cublasLt's algorithms for
// them are known before the work begins (ranks/agreed_products.hpp). A block is computed with as in
// the job, by the same code, and given up. It needs the memory of a block and a sample, which the
// job needs, too; and where there is a loss behind the last block, that of the head.

#include "device/device.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/preprocess_check.hpp"
#include "pipeline/checks/tune_check.hpp"

namespace bitmill {

// REQUIRES: the device is a GPU. DeviceError where cublasLt has no algorithm that keeps its order.
void rehearse_products(const CheckedQuantize& checked, const Device& device);
void rehearse_products(const CheckedTune& checked, const Device& device);
void rehearse_products(const CheckedPreprocess& checked, const Device& device);

}  // namespace bitmill
