#pragma once
// What determines a result, as JSON: every resolved setting, the model's shape, the windows, and
// the versions of arithmetic and format. Not ranks, threads, hosts, paths, or shard sizes.

#include <string>

#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// Raised whenever the same settings give other bytes.
inline constexpr int arithmetic_version = 1;

std::string make_fingerprint(const QuantizeOptions& options, const SourceModel& model,
                             const Windows& windows);

// What a model computes, its weights left out: every setting of its config that counts, and the
// names, dtypes and shapes of its tensors.
std::string describe_model(const SourceModel& model);

// Machines of one class give the same bytes: backend, dtype, libtorch, processor vendor, family,
// model and the vector instructions that libtorch uses on it.
std::string numerics_class(const std::string& backend);

// "model.blocks is 30 there and 5 here": the first field that only one of the two has, or with
// another value; empty without one. Both as make_fingerprint() gives them; `here` may be
// unknown_fingerprint, from which nothing differs.
inline constexpr const char* unknown_fingerprint = "{}";
std::string fingerprint_difference(const std::string& there, const std::string& here);

}  // namespace bitmill
