#include "pipeline/tune.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "base/error.hpp"
#include "format/inspection.hpp"
#include "pipeline/assemble.hpp"
#include "pipeline/fingerprint.hpp"
#include "pipeline/mesh_rank.hpp"
#include "pipeline/ranks_check.hpp"
#include "pipeline/run_session.hpp"
#include "pipeline/source_hashes.hpp"
#include "pipeline/tune_check.hpp"
#include "pipeline/tuned_folder.hpp"
#include "pipeline/tuner.hpp"

namespace bitmill {
namespace {

constexpr const char* backend = "cpu";

// What a start works with besides its options.
struct Start {
  const CheckedTune& checked;
  Files& files;
  Communicator& comm;
  ThreadPool& pool;
  TuneObserver& observer;
  const RunControl& control;
};

// The whole model is one block of the run folder, in one turn.
Plan folder_plan(const TuneOptions& options) {
  return make_plan(1, options.epochs, options.epochs, 1, Walk::sweep);
}

struct Sources {
  TensorHashes model, teacher;
  // Names are the same in both.
  std::string hash() const { return combined_hash(model) + combined_hash(teacher); }
};

Sources hash_sources(const Start& start) {
  start.observer.stage_begins("hashing both models");
  const auto hash = [&](const SourceModel& model) {
    return hash_shared(model, model.tensors().names(), start.comm, start.pool);
  };
  return {hash(start.checked.model), hash(start.checked.teacher)};
}

// On rank 0: claims the work folder.
std::unique_ptr<RunSession> open_session(const TuneOptions& options, const Start& start,
                                         const Sources& sources) {
  const auto say = [&](const std::string& text) { start.observer.stage_begins(text); };
  auto session = std::make_unique<RunSession>(
      work_folder(options), start.files,
      RunRecord{start.checked.plan.fingerprint_json, {numerics_class(backend)}},
      folder_plan(options), start.control, say);
  if (session->goes_on()) {
    say(fmt::format("going on with the tuning in {}: {} of {} epochs are done", options.work_dir,
                    session->done()[whole_model].epochs, options.epochs));
  }
  session->dir().keep_source(outside_blocks, sources.teacher);
  session->dir().keep_source(whole_model, sources.model);
  constexpr int64_t floats_per_factor = 4;  // itself, two moments, the best one
  session->dir().rehearse_save(start.checked.plan.factors * floats_per_factor *
                               static_cast<int64_t>(sizeof(float)));
  start.control.work_dir_answers();
  return session;
}

TuningHistory train(const TuneOptions& options, const Start& start, const Sources& sources,
                    RunSession* session) {
  MeshRank rank(start.checked.plan.mesh, start.comm);
  // The rank keeps ranks apart, the process id jobs that share a scratch folder.
  StreamBudget budget(start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      join_path(options.scratch_dir,
                                fmt::format("streams-{}-{}.tmp", start.comm.rank(), ::getpid())));
  StopControl stop(rank.control(), start.control.wishes);
  RunDir* run_dir = session != nullptr ? &session->dir() : nullptr;
  Tuner tuner({options, start.checked.plan, start.checked.model, start.checked.teacher,
               start.checked.windows, rank, run_dir, budget, start.pool, stop, start.observer});
  tuner.run();
  const std::vector<float> best = tuner.best();
  if (session != nullptr) {
    write_tuned(options, start.files, start.checked.model, session->dir(), best,
                {start.checked.plan.fingerprint_json, sources.hash(), session->numerics_classes(),
                 tuner.history()},
                start.pool, start.observer);
    session->finish();
  }
  return tuner.history();
}

void train_in_session(const TuneOptions& options, const Start& start, const Sources& sources,
                      TuneResult& result) {
  std::unique_ptr<RunSession> session;
  if (start.comm.rank() == 0) session = open_session(options, start, sources);
  try {
    result.history = train(options, start, sources, session.get());
    if (session) result.state_seconds = session->dir().seconds_writing();
  } catch (const AgreedStop& stop) {
    if (session) session->stop(stop.what());
    throw;
  } catch (const ClaimError&) {
    throw;  // nothing in the folder is ours any more
  } catch (const CommError&) {
    throw;  // a peer is gone: nothing speaks against running again
  } catch (const std::exception& error) {
    if (session) session->fail(error.what());
    throw;
  }
}

}  // namespace

void compare_ranks(const TunePlan& plan, Files& files, Communicator& comm,
                   const std::string& host) {
  check_ranks({plan.fingerprint_json, numerics_class(backend), plan.peak_memory_bytes}, files, comm,
              host);
}

TuneResult tune(const TuneOptions& options, Files& files, Communicator& comm, ThreadPool& pool,
                TuneObserver& observer, const RunControl& control) {
  const CheckedTune checked = check_tune(options, files, comm.size(), pool.size());
  const Start start{checked, files, comm, pool, observer, control};
  observer.stage_begins("comparing what the ranks see");
  compare_ranks(checked.plan, files, comm, control.host);
  TuneResult result;
  result.already_done = holds_result(files, options.output_dir, comm);
  const Sources sources = hash_sources(start);
  if (!result.already_done) {
    train_in_session(options, start, sources, result);
  } else if (comm.rank() == 0) {
    if (files.exists(options.work_dir)) control.work_dir_answers();
    observer.stage_begins("verifying the result that is there");
    verify_result(files, options.output_dir, sources.hash(), tuning_record);
  }
  if (comm.rank() == 0) {
    const Inspection inspection = inspect_folder(files, options.output_dir);
    result.bits_per_weight = inspection.bits_per_weight();
    result.packed_bytes = inspection.file_bytes;
  }
  comm.barrier();
  return result;
}

}  // namespace bitmill
