#include "pipeline/tune.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "base/error.hpp"
#include "format/inspection.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tuning/tuned_folder.hpp"
#include "pipeline/tuning/tuner.hpp"

namespace bitmill {
namespace {

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
  start.observer.phase_begins("hashing both models");
  const auto hash = [&](const SourceModel& model) {
    return hash_together(model, model.tensors().names(), start.comm, start.pool);
  };
  const SourceModel &model = start.checked.model, &teacher = start.checked.teacher;
  Sources sources = {hash(model), hash(teacher)};
  const std::string note =
      other_source_note(start.files, model, teacher, combined_hash(sources.teacher));
  if (!note.empty()) start.observer.note(note);
  return sources;
}

// On rank 0, in the folder that it has claimed: begins the run or goes on with it, and tries there
// what it will do.
void open_session(const TuneOptions& options, const Start& start, const Sources& sources,
                  const std::vector<std::string>& numerics_classes, RunSession& session) {
  session.open({start.checked.plan.fingerprint_json, numerics_classes}, folder_plan(options),
               {{outside_blocks, sources.teacher}, {whole_model, sources.model}});
  start.control.work_dir_answers();
  if (session.goes_on()) {
    start.observer.phase_begins(
        fmt::format("going on with the tuning in {}: {} of {} epochs are done", options.work_dir,
                    session.done()[whole_model].epochs, options.epochs));
  }
  constexpr int64_t floats_per_factor = 4;  // itself, two moments, the best one
  session.dir().rehearse_save(start.checked.plan.factors * floats_per_factor *
                              static_cast<int64_t>(sizeof(float)));
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
  const at::Tensor best = tuner.best();
  if (session != nullptr) {
    write_tuned(options, start.files, start.checked.model, session->dir(), best,
                {start.checked.plan.fingerprint_json, sources.hash(), session->numerics_classes(),
                 tuner.history()},
                start.pool, start.observer);
    session->finish();
  }
  return tuner.history();
}

void train_in_session(const TuneOptions& options, const Start& start,
                      const std::vector<std::string>& numerics_classes, const Sources& sources,
                      TuneResult& result) {
  std::optional<RunSession> session;
  if (start.comm.rank() == 0) {
    session.emplace(work_folder(options), start.files, start.control,
                    [&](const std::string& text) { start.observer.phase_begins(text); });
  }
  RunSession* const held = session ? &*session : nullptr;
  hold_session(held, [&] {
    if (held) open_session(options, start, sources, numerics_classes, *held);
    result.history = train(options, start, sources, held);
    if (held) result.state_seconds = held->dir().seconds_writing();
  });
}

// The result of an earlier job, on rank 0.
void verify_what_is_there(const TuneOptions& options, const Start& start, const Sources& sources) {
  if (start.files.exists(options.work_dir)) start.control.work_dir_answers();
  start.observer.phase_begins("verifying the result that is there");
  verify_result(start.files, options.output_dir, sources.hash(), tuning_record);
}

}  // namespace

std::vector<std::string> compare_ranks(const TuneOptions& options, const TuneForecast& plan,
                                       Files& files, Communicator& comm, const std::string& host) {
  return check_ranks({plan.fingerprint_json, numerics_class(options.backend),
                      options.allow_mixed_hardware, plan.peak_memory_bytes},
                     files, comm, host);
}

TuneResult tune(const TuneOptions& options, Files& files, Communicator& comm, ThreadPool& pool,
                TuneObserver& observer, const RunControl& control) {
  const CheckedTune checked = check_tune(options, files, comm.size(), pool.size());
  const Start start{checked, files, comm, pool, observer, control};
  observer.phase_begins("comparing what the ranks see");
  const std::vector<std::string> classes =
      compare_ranks(options, checked.plan, files, comm, control.host);
  TuneResult result;
  result.already_done = holds_result(files, options.output_dir, comm);
  const Sources sources = hash_sources(start);
  if (!result.already_done) {
    train_in_session(options, start, classes, sources, result);
  } else if (comm.rank() == 0) {
    verify_what_is_there(options, start, sources);
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
