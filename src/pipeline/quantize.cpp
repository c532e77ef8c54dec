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
#include "pipeline/run_session.hpp"

namespace bitmill {
namespace {

// What rank 0 found out, for everybody.
bool agree(Communicator& comm, bool answer) {
  auto byte = static_cast<std::byte>(answer);
  comm.broadcast(std::span(&byte, 1), 0);
  return byte != std::byte{0};
}

Plan make_plan(const QuantizeOptions& options, const SourceModel& model) {
  return plan_sweeps(static_cast<int>(blocks_to_pack(options, model)), options.epochs, options.lag);
}

// What rank 0 found in the run folder, for everybody.
std::vector<BlockDone> share_done(Communicator& comm, const RunSession* session, const Plan& plan) {
  std::vector<BlockDone> done(static_cast<size_t>(plan.blocks));
  if (session != nullptr) done = session->done();
  comm.broadcast(std::as_writable_bytes(std::span(done)), 0);
  return done;
}

// What a start works with besides its options.
struct Start {
  const CheckedRun& checked;
  Files& files;
  Communicator& comm;
  ThreadPool& pool;
  QuantizeObserver& observer;
  const RunControl& control;
};

std::vector<BlockReport> train_blocks(const QuantizeOptions& options, const Start& start,
                                      const Plan& plan, RunSession* session) {
  const std::unique_ptr<Backend> backend = make_backend(options.backend);
  const std::vector<BlockDone> done = share_done(start.comm, session, plan);
  RunDir* const run_dir = session != nullptr ? &session->dir() : nullptr;
  // The rank keeps ranks apart, the process id jobs that share a scratch folder.
  const std::string scratch_name = fmt::format("streams-{}-{}.tmp", start.comm.rank(), ::getpid());
  StreamBudget budget(start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      join_path(options.scratch_dir, scratch_name));
  RunLog log(run_dir, start.observer);
  StopControl stop(start.comm, start.control.wishes);
  BlockCompute compute({options, start.checked.model, start.checked.calibration.windows, *backend,
                        run_dir, budget, start.comm, start.pool, log});
  execute(plan, done, compute, stop, log);
  return compute.reports();
}

// On every rank; session on rank 0.
std::vector<BlockReport> train_and_assemble(const QuantizeOptions& options, const Start& start,
                                            const Plan& plan, Provenance provenance,
                                            RunSession* session) {
  try {
    std::vector<BlockReport> reports = train_blocks(options, start, plan, session);
    if (session != nullptr) {
      provenance.numerics_class = session->numerics_classes();
      assemble(options, start.files, start.checked.model, session->dir().state(), provenance,
               start.observer);
      session->finish();
    }
    return reports;
  } catch (const AgreedStop& stop) {
    if (session != nullptr) session->stop(stop.what());
    throw;
  } catch (const ClaimError&) {
    throw;  // nothing in the folder is ours any more
  } catch (const CommError&) {
    throw;  // a peer is gone: nothing speaks against running again
  } catch (const std::exception& error) {
    if (session != nullptr) session->fail(error.what());
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
                        ThreadPool& pool, QuantizeObserver& observer, const RunControl& control) {
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
    const Plan plan = make_plan(options, checked.model);
    std::unique_ptr<RunSession> session;
    if (leader) {
      session = std::make_unique<RunSession>(
          options, files,
          RunRecord{
              provenance.fingerprint_json, provenance.source_hash, {provenance.numerics_class}},
          plan, control, [&](const std::string& text) { observer.stage_begins(text); });
      control.claimed();
    }
    result.blocks = train_and_assemble(options, {checked, files, comm, pool, observer, control},
                                       plan, provenance, session.get());
  }
  if (leader) summarize(options, files, result);
  comm.barrier();
  return result;
}

}  // namespace bitmill
