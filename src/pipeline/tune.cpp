#include "pipeline/tune.hpp"

#include <fmt/format.h>

#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "format/inspection.hpp"
#include "pipeline/checks/product_rehearsal.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/joined_claim.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/folder/writer_wishes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/agreed_products.hpp"
#include "pipeline/ranks/device_use.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/streams/stream_scratch.hpp"
#include "pipeline/tuning/tuned_folder.hpp"
#include "pipeline/tuning/tuner.hpp"
#include "pipeline/tuning/tuning_text.hpp"

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
  const TuningText* text = nullptr;  // of a corpus

  const TuneOptions& options() const { return checked.options; }
};

// In the run folder the whole model is one block, trained in one turn.
Plan folder_plan(const TuneForecast& forecast) {
  return make_plan(1, forecast.epochs, forecast.epochs, 1, Walk::sweep);
}

struct Sources {
  TensorHashes model, teacher;
  std::string text = {};  // of a corpus
  // The hashes are joined, not the two maps: both models have the same names of tensors.
  std::string hash() const { return combined_hash(model) + combined_hash(teacher) + text; }
};

std::optional<TuningText> open_text(const TuneStart& start) {
  std::optional<TuningText> text;
  if (start.options().corpus.empty()) return text;
  start.observer.phase_begins("reading the corpus once, for its index");
  const TuneForecast& forecast = start.checked.forecast;
  text.emplace(corpus_of(start.options(), forecast, start.checked.model.config()), forecast,
               start.checked.windows, start.files, start.comm, start.control);
  const std::vector<std::string> hashes = gather_texts(start.comm, text->hash());
  for (size_t rank = 1; rank < hashes.size(); ++rank) {
    BITMILL_CHECK(hashes[rank] == hashes[0], UsageError,
                  fmt::format("rank {} and rank 0 have different texts of --corpus: the copies on "
                              "their hosts differ; copy them anew",
                              rank));
  }
  for (const std::string& note : text->notes()) start.observer.note(note);
  start.observer.note(fmt::format(
      "sequences of the corpus that share text with what is held out ({}) are left out",
      forecast.held_out == 1 ? "1 window" : fmt::format("{} windows", forecast.held_out)));
  return text;
}

// The packed model was hashed when it was verified. Those hashes are used here again: both are
// hashes of a tensor's bytes.
Sources hash_sources(const TuneStart& start) {
  start.observer.phase_begins("hashing the reference");
  const SourceModel &model = start.checked.model, &teacher = start.checked.teacher;
  Sources sources = {start.checked.hashes,
                     hash_together(teacher, teacher.tensors().names(), start.comm, start.pool),
                     start.text != nullptr ? start.text->hash() : ""};
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
  TensorHashes outside = sources.teacher;
  if (!sources.text.empty()) outside["the text of --corpus"] = sources.text;
  session.open({start.checked.forecast.fingerprint_json, numerics_classes},
               folder_plan(start.checked.forecast),
               {{outside_blocks, outside}, {whole_model, sources.model}});
  start.control.work_dir_answers();
  if (session.goes_on()) {
    start.observer.phase_begins(
        fmt::format("going on with the tuning in {}: {} of {} epochs are done", options.work_dir,
                    session.done()[whole_model].epochs, start.checked.forecast.epochs));
  }
  session.dir().rehearse_save(start.checked.forecast.trial_bytes);
}

// `session` is null except on rank 0. Fills in the history and what is known of the saving.
void train(const TuneStart& start, const Sources& sources, RunSession* session,
           TuneResult& result) {
  const TuneOptions& options = start.options();
  const TuneForecast& forecast = start.checked.forecast;
  MeshRank rank(forecast.mesh, start.comm, start.way);
  StreamBudget budget(start.files, forecast.stream_budget,
                      stream_scratch_path(options.scratch_dir, start.comm.rank()));
  // Where signs are learned, the leaders of the other stages write the parts of their blocks, under
  // rank 0's claim.
  std::unique_ptr<Claim> claim;
  if (forecast.parts.signs) {
    claim = broadcast_claim(start.comm, options.work_dir, start.files, session, rank.leads());
  }
  std::optional<RunDir> joined;
  if (claim && session == nullptr) joined.emplace(start.files, *claim, rank.stage());
  RunDir* const run_dir = session != nullptr ? &session->dir() : (joined ? &*joined : nullptr);
  std::optional<RunWriter> writer;
  if (session != nullptr) writer.emplace(session->dir(), /*beside=*/true);
  RunWriter* const leads = writer ? &*writer : nullptr;
  StopControl stop(rank.control(), with_failures_of(leads, start.control.wishes));
  Tuner tuner({options, forecast, start.checked.model, start.checked.teacher, start.checked.windows,
               start.text, rank, run_dir, leads, budget, start.device, stop, start.observer});
  rank.carry_out([&] { tuner.run(); });
  const at::Tensor best = tuner.best();
  if (session != nullptr) {
    write_tuned(
        options, forecast.parts, start.files, start.checked.model, session->dir(),
        {best, tuner.best_signs()},
        {forecast.fingerprint_json, sources.hash(), session->numerics_classes(), tuner.history()},
        rank, start.pool, start.observer);
    session->finish();
  } else if (run_dir != nullptr) {
    give_signs(start.checked.model, tuner.best_signs(), rank);
  }
  result.history = tuner.history();
  if (leads != nullptr) {
    result.state_wait_seconds = leads->seconds_waited() + tuner.seconds_saving_parts();
  }
}

void train_in_session(const TuneStart& start, const std::vector<std::string>& numerics_classes,
                      const Sources& sources, TuneResult& result) {
  result.state_seconds = work_in_session(
      work_folder(start.options()), start.files, start.comm, start.control,
      [&](const std::string& text) { start.observer.phase_begins(text); },
      [&](RunSession* session) {
        if (session != nullptr) open_session(start, sources, numerics_classes, *session);
        train(start, sources, session, result);
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
  const DeviceUse use = device_use(
      comm, checked.forecast.mesh, device, control,
      [&](const std::string& note) { observer.note(note); },
      [&](const std::string& text) { observer.phase_begins(text); });
  TuneStart start{checked, files, comm, device, device.host(), observer, control, use.way};
  compare_ranks(checked, files, comm, device, control.host);
  check_same_everywhere(checked.hashes, checked.options.model, comm);
  TuneResult result;
  // Checked again: meanwhile another job may have made the result, or somebody may have written
  // there.
  result.already_done =
      check_output(output_dir, files, tuning_record, checked.forecast.fingerprint_json, comm);
  const std::optional<TuningText> text = open_text(start);
  start.text = text ? &*text : nullptr;
  const Sources sources = hash_sources(start);
  if (!result.already_done) {
    const bool works = checked.forecast.mesh.contains(comm.rank());
    const AgreedProducts products(
        comm, device, works ? numerics_class(checked.options.backend, device) : "", [&] {
          observer.phase_begins("choosing algorithms for the products");
          rehearse_products(checked, device);
        });
    train_in_session(start, products.classes(), sources, result);
  } else if (comm.rank() == 0) {
    verify_what_is_there(start, sources);
  }
  if (comm.rank() == 0) {
    const Inspection inspection = inspect_folder(files, output_dir);
    result.bits_per_weight = inspection.bits_per_weight();
    result.packed_bytes = inspection.file_bytes;
  }
  if (text) text->remove_index(comm, control.host);
  comm.barrier();
  return result;
}

}  // namespace bitmill
