#include "pipeline/tuning/tuned_folder.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/version.hpp"
#include "format/companions.hpp"
#include "format/config_file.hpp"
#include "format/folder_card.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_seal.hpp"
#include "format/partial_folder.hpp"
#include "method/tuned_block.hpp"
#include "pipeline/folder/assemble.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The same size as quantize() uses by default.
constexpr int64_t max_shard_bytes = int64_t{5} * 1000 * 1000 * 1000;

// Names in the order of the files, so that tensors that do not change are at the same place.
std::vector<std::string> names_in_order(const TensorFolder& tensors) {
  std::vector<std::string> names;
  for (const auto& shard : tensors.shards()) {
    std::vector<const TensorInfo*> infos;
    for (const auto& [name, info] : shard->tensors()) infos.push_back(&info);
    std::ranges::stable_sort(infos, {}, &TensorInfo::offset);
    for (const TensorInfo* info : infos) names.push_back(info->name);
  }
  return names;
}

// The tensors that tuning changes, by name, float16.
std::map<std::string, std::vector<uint16_t>> tuned_tensors(const TuneOptions& options,
                                                           const SourceModel& model,
                                                           const at::Tensor& factors,
                                                           ThreadPool& pool) {
  std::map<std::string, std::vector<uint16_t>> tuned;
  const Rotary rotary;  // not used: there is no forward pass here
  const auto host = cpu_device(pool);
  int64_t first = 0;
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    const TunedBlock one(model, block, options.rate, rotary, *host);
    const int64_t size = one.layout().size();
    for (auto& [name, scales] : one.stored(factors.narrow(0, first, size))) {
      tuned[name + ".row_scale"] = std::move(scales.row_scale);
      tuned[name + ".row_mean"] = std::move(scales.row_mean);
      tuned[name + ".col_gain"] = std::move(scales.col_gain);
    }
    first += size;
  }
  return tuned;
}

json describe(const TuningRecord& record) {
  const TuningHistory& history = record.history;
  return {{"version", std::string(version)},
          {"settings", json::parse(record.fingerprint_json)},
          {"source_hash", record.source_hash},
          {"numerics_class", record.numerics_class},
          {"epochs", history.epochs()},
          {"kept_epoch", history.best()},
          {"kl_before", history.held_out_kl.front()},
          {"kl_after", history.held_out_kl[static_cast<size_t>(history.best())]}};
}

}  // namespace

void write_tuned(const TuneOptions& options, Files& files, const SourceModel& model,
                 const RunDir& run_dir, const at::Tensor& factors, const TuningRecord& record,
                 ThreadPool& pool, TuneObserver& observer) {
  PartialFolder partial(files, options.output_dir);
  observer.phase_begins("writing the tuned model");
  copy_companion_files(files, options.model, partial.path());
  const auto tuned = tuned_tensors(options, model, factors, pool);
  std::vector<TensorSource> tensors;
  for (const std::string& name : names_in_order(model.tensors())) {
    TensorSource& tensor = tensors.emplace_back(copied_tensor(model, name));
    const auto changed = tuned.find(name);
    if (changed == tuned.end()) continue;
    tensor.produce = [&values = changed->second](const ByteSink& sink) {
      sink(std::as_bytes(std::span(values)));
    };
  }
  write_shards(files, partial.path(), tensors,
               {{"format", "pt"}, {"quant_method", std::string(quant_method)}}, max_shard_bytes);
  json config = read_config_json(files, options.model);
  config[json::json_pointer(tuning_record)] = describe(record);
  add_loading_keys(config);
  write_sealed_config(files, partial.path(), std::move(config));
  complete_packed_folder(files, partial.path());
  observer.phase_begins("reading it back");
  verify_packed_folder(files, partial.path(), {});
  run_dir.check();
  partial.commit();
}

}  // namespace bitmill
