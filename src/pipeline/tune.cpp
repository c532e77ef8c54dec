#include "pipeline/tune.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "format/inspection.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/folder/writer_wishes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tuning/tuned_folder.hpp"
#include "pipeline/tuning/tuner.hpp"

namespace bitmill {
namespace {

// The arguments of one start, for the functions below.
struct TuneStart {
  const CheckedTune& checked;
  Files& files;
  Communicator& comm;
  const Device& device;
  ThreadPool& pool;  // the device's host
  TuneObserver& observer;
  const RunControl& control;
  const TensorWay way;

  const TuneOptions& options() const { return checked.options; }
};

// In the run folder the whole model is one block, trained in one turn.
Plan folder_plan(const TuneOptions& options) {
  return make_plan(1, options.epochs, options.epochs, 1, Walk::sweep);
}

struct Sources {
  TensorHashes model, teacher;
  // The two hashes are joined, not the two maps: both models have the same names of tensors.
  std::string hash() const { return combined_hash(model) + combined_hash(teacher); }
};

// Every rank has verified its own copy, so the copies must be compared.
void check_same_model_everywhere(const TuneStart& start) {
  const std::string hash = combined_hash(start.checked.hashes);
  const std::vector<std::string> all = gather_texts(start.comm, hash);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    BITMILL_CHECK(all[rank] == all[0], UsageError,
                  fmt::format("rank {} and rank 0 have different packed models in {}: the copies "
                              "on their hosts differ; copy it anew",
                              rank, start.options().model));
  }
}

// The packed model was hashed when it was verified. Those hashes are used here again: both are
// hashes of a tensor's bytes.
Sources hash_sources(const TuneStart& start) {
  start.observer.phase_begins("hashing the reference");
  const SourceModel &model = start.checked.model, &teacher = start.checked.teacher;
  Sources sources = {start.checked.hashes,
                     hash_together(teacher, teacher.tensors().names(), start.comm, start.pool)};
  const std::string note =
      other_source_note(start.files, model, teacher, combined_hash(sources.teacher));
  if (!note.empty()) start.observer.note(note);
  return sources;
}

// On rank 0, which has claimed the run folder: begins the run or goes on with it, and makes a trial
// save there.
void open_session(const TuneStart& start, const Sources& sources,
                  const std::vector<std::string>& numerics_classes, RunSession& session) {
  const TuneOptions& options = start.options();
  session.open({start.checked.forecast.fingerprint_json, numerics_classes}, folder_plan(options),
               {{outside_blocks, sources.teacher}, {whole_model, sources.model}});
  start.control.work_dir_answers();
  if (session.goes_on()) {
    start.observer.phase_begins(
        fmt::format("going on with the tuning in {}: {} of {} epochs are done", options.work_dir,
                    session.done()[whole_model].epochs, options.epochs));
  }
  constexpr int64_t floats_per_factor = 4;  // the factor, two moments, the best factor
  session.dir().rehearse_save(start.checked.forecast.factors * floats_per_factor *
                              static_cast<int64_t>(sizeof(float)));
}

// `session` is null except on rank 0. Fills in the history and what is known of the saving.
void train(const TuneStart& start, const Sources& sources, RunSession* session,
           TuneResult& result) {
  const TuneOptions& options = start.options();
  MeshRank rank(start.checked.forecast.mesh, start.comm, start.way);
  // The rank number differs between ranks, the process id between jobs that share a scratch folder.
  StreamBudget budget(start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      join_path(options.scratch_dir,
                                fmt::format("streams-{}-{}.tmp", start.comm.rank(), ::getpid())));
  std::optional<RunWriter> writer;
  if (session != nullptr) writer.emplace(session->dir(), /*beside=*/true);
  RunWriter* const leads = writer ? &*writer : nullptr;
  StopControl stop(rank.control(), with_failures_of(leads, start.control.wishes));
  Tuner tuner({options, start.checked.forecast, start.checked.model, start.checked.teacher,
               start.checked.windows, rank, leads, budget, start.device, stop, start.observer});
  try {
    tuner.run();
  } catch (const AgreedStop&) {
    rank.part();
    throw;
  }
  rank.part();
  const at::Tensor best = tuner.best();
  if (session != nullptr) {
    write_tuned(options, start.files, start.checked.model, session->dir(), best,
                {start.checked.forecast.fingerprint_json, sources.hash(),
                 session->numerics_classes(), tuner.history()},
                start.pool, start.observer);
    session->finish();
  }
  result.history = tuner.history();
  if (leads != nullptr) result.state_wait_seconds = leads->seconds_waited();
}

void train_in_session(const TuneStart& start, const std::vector<std::string>& numerics_classes,
                      const Sources& sources, TuneResult& result) {
  std::optional<RunSession> session;
  if (start.comm.rank() == 0) {
    session.emplace(work_folder(start.options()), start.files, start.control,
                    [&](const std::string& text) { start.observer.phase_begins(text); });
  }
  RunSession* const held = session ? &*session : nullptr;
  hold_session(held, [&] {
    if (held) open_session(start, sources, numerics_classes, *held);
    train(start, sources, held, result);
    if (held) result.state_seconds = held->dir().seconds_writing();
  });
}

// Verifies the result of an earlier job, on rank 0.
void verify_what_is_there(const TuneStart& start, const Sources& sources) {
  const TuneOptions& options = start.options();
  if (start.files.exists(options.work_dir)) start.control.work_dir_answers();
  start.observer.phase_begins("verifying the result that is there");
  verify_result(start.files, options.output_dir, sources.hash(), tuning_record);
}

}  // namespace

std::vector<std::string> compare_ranks(const CheckedTune& checked, Files& files, Communicator& comm,
                                       const Device& device, const std::string& host) {
  return check_ranks(
      {checked.forecast.fingerprint_json, numerics_class(checked.options.backend, device),
       checked.options.allow_mixed_hardware, checked.forecast.peak_memory_bytes},
      files, comm, host);
}

TuneResult tune(const CheckedTune& checked, Files& files, Communicator& comm, const Device& device,
                TuneObserver& observer, const RunControl& control) {
  const std::string& output_dir = checked.options.output_dir;
  observer.phase_begins("comparing what the ranks see");
  const DeviceShare share = device_share(comm, device, control.host);
  for (const std::string& note : share.notes) observer.note(note);
  const TensorWay way =
      choose_way(comm, checked.forecast.mesh, device, control.host, control.transfer_patience_s);
  if (!way.words.empty()) observer.phase_begins(way.words);
  const TuneStart start{checked, files, comm, device, device.host(), observer, control, way};
  const std::vector<std::string> classes =
      compare_ranks(checked, files, comm, device, control.host);
  check_same_model_everywhere(start);
  TuneResult result;
  // Checked again: meanwhile another job may have made the result, or somebody may have written
  // there.
  result.already_done =
      check_output(output_dir, files, tuning_record, checked.forecast.fingerprint_json, comm);
  const Sources sources = hash_sources(start);
  if (!result.already_done) {
    train_in_session(start, classes, sources, result);
  } else if (comm.rank() == 0) {
    verify_what_is_there(start, sources);
  }
  if (comm.rank() == 0) {
    const Inspection inspection = inspect_folder(files, output_dir);
    result.bits_per_weight = inspection.bits_per_weight();
    result.packed_bytes = inspection.file_bytes;
  }
  comm.barrier();
  return result;
}

}  // namespace bitmill
