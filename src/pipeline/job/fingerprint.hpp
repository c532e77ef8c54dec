#pragma once
// What determines a result, as JSON: every resolved setting, the model's shape, the windows, and
// the versions of arithmetic and format. Ranks, threads, hosts, paths and shard sizes are not in
// it.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "data/windows.hpp"
#include "device/device.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// To be raised when the same settings begin to give other bytes.
inline constexpr int arithmetic_version = 1;

std::string make_fingerprint(const QuantizeOptions& options, const SourceModel& model,
                             const Windows& windows);

// Adds what was done to the windows after they were cut, where something was: the seed of their
// order, and the BOS at their beginning. For every job that has windows.
void record_window_settings(const std::optional<uint64_t>& shuffle_seed, const Windows& windows,
                            nlohmann::json& fingerprint);

// What a model computes, without its weights: every setting of its config that has an effect, and
// the names, dtypes and shapes of its tensors.
std::string describe_model(const SourceModel& model);

// Machines of one class compute the same bytes. The class has the backend, the dtype, the libtorch
// version, the processor's vendor, family and model, and the vector instructions that libtorch uses
// on it; on a GPU also what Device::numerics() says.
std::string numerics_class(const std::string& backend);
std::string numerics_class(const std::string& backend, const Device& device);

// "model.blocks is 30 there and 5 here": the first field that is only in one of the two, or has
// different values; empty when there is none. Both texts as make_fingerprint() returns them. `here`
// may be unknown_fingerprint: then the result is empty.
inline constexpr const char* unknown_fingerprint = "{}";
std::string fingerprint_difference(const std::string& there, const std::string& here);

}  // namespace bitmill
