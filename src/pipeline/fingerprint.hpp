#pragma once
// What determines a result, as JSON: every resolved setting, the model's shape, the windows, and
// the versions of arithmetic and format. Not ranks, threads, hosts, paths, or shard sizes.

#include <string>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

// Raised whenever the same settings give other bytes.
inline constexpr int arithmetic_version = 1;

std::string make_fingerprint(const QuantizeOptions& options, const SourceModel& model,
                             const Windows& windows);

// Machines of one class give the same bytes: backend, dtype, libtorch, processor vendor, family,
// model and the vector instructions that libtorch uses on it.
std::string numerics_class(const std::string& backend);

// Collective. The numerics class, when every rank has the same; UsageError naming both otherwise.
std::string agreed_numerics_class(const std::string& backend, Communicator& comm);

// Collective. A hash over all tensors of the source, each read once by one rank. NumericError names
// the first value that is not finite.
std::string hash_source(const SourceModel& model, Communicator& comm, ThreadPool& pool);

}  // namespace bitmill
