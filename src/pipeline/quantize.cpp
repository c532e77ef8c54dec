#include "pipeline/quantize.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "base/error.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/assemble.hpp"
#include "pipeline/block_compute.hpp"
#include "pipeline/calibration.hpp"
#include "pipeline/fingerprint.hpp"
#include "pipeline/preflight.hpp"
#include "pipeline/run_log.hpp"

namespace bitmill {
namespace {

// What rank 0 found out, for everybody.
bool agree(Communicator& comm, bool answer) {
  auto byte = static_cast<std::byte>(answer);
  comm.broadcast(std::span(&byte, 1), 0);
  return byte != std::byte{0};
}

std::vector<BlockReport> train_blocks(const QuantizeOptions& options, const SourceModel& model,
                                      const Windows& windows, RunDir* run_dir, Files& files,
                                      Communicator& comm, ThreadPool& pool,
                                      QuantizeObserver& observer) {
  const std::unique_ptr<Backend> backend = make_backend(options.backend);
  // The rank keeps ranks apart, the process id jobs that share a scratch folder.
  const std::string scratch_name = fmt::format("streams-{}-{}.tmp", comm.rank(), ::getpid());
  StreamBudget budget(files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      join_path(options.scratch_dir, scratch_name));
  RunLog log(run_dir, observer);
  BlockCompute compute({options, model, windows, *backend, run_dir, budget, comm, pool, log});
  execute(
      plan_sweeps(static_cast<int>(blocks_to_pack(options, model)), options.epochs, options.lag),
      compute, log);
  return compute.reports();
}

// On every rank; run_dir on rank 0.
std::vector<BlockReport> train_and_assemble(const QuantizeOptions& options, Files& files,
                                            const CheckedRun& checked, const Provenance& provenance,
                                            RunDir* run_dir, Communicator& comm, ThreadPool& pool,
                                            QuantizeObserver& observer) {
  try {
    std::vector<BlockReport> reports = train_blocks(
        options, checked.model, checked.calibration.windows, run_dir, files, comm, pool, observer);
    if (run_dir != nullptr) {
      assemble(options, files, checked.model, *run_dir, provenance, observer);
      run_dir->finish();
    }
    return reports;
  } catch (...) {
    if (run_dir != nullptr) run_dir->abandon();
    throw;
  }
}

void summarize(const QuantizeOptions& options, Files& files, QuantizeResult& result) {
  const Inspection inspection = inspect_folder(files, options.output_dir);
  result.bits_per_weight = inspection.bits_per_weight();
  result.bits_per_parameter = inspection.bits_per_parameter();
  result.packed_bytes = inspection.file_bytes;
}

}  // namespace

QuantizeResult quantize(const QuantizeOptions& given, Files& files, Communicator& comm,
                        ThreadPool& pool, QuantizeObserver& observer) {
  const QuantizeOptions options = resolve_lag(given);
  const CheckedRun checked = check_run(options, files, comm.size(), pool.size());

  observer.stage_begins("reading and hashing the model");
  const Provenance provenance{checked.plan.fingerprint_json, hash_source(checked.model, comm, pool),
                              agreed_numerics_class(options.backend, comm)};
  QuantizeResult result;
  result.source_bytes = checked.model.tensors().file_bytes();
  const bool leader = comm.rank() == 0;
  result.already_done = agree(comm, leader && holds_result(options.output_dir, files, provenance));
  if (result.already_done) {
    observer.stage_begins("verifying the result that is there");
    if (leader) verify_packed_folder(files, options.output_dir, {});
  } else {
    std::unique_ptr<RunDir> run_dir;
    if (leader) {
      run_dir = std::make_unique<RunDir>(files, options.work_dir);
      run_dir->begin(checked.plan.fingerprint_json, options.start_over);
    }
    comm.barrier();
    result.blocks = train_and_assemble(options, files, checked, provenance, run_dir.get(), comm,
                                       pool, observer);
  }
  if (leader) summarize(options, files, result);
  comm.barrier();
  return result;
}

}  // namespace bitmill
