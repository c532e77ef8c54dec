#include "pipeline/tuning/tuned_folder.hpp"

#include <algorithm>
#include <functional>
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
#include "model/family.hpp"
#include "pipeline/folder/assemble.hpp"
#include "schedule/micro_batches.hpp"

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

using Produce = std::function<void(const ByteSink&)>;

Produce produce_halves(std::vector<uint16_t> halves) {
  return [halves = std::move(halves)](const ByteSink& sink) {
    sink(std::as_bytes(std::span(halves)));
  };
}

// The scales of all blocks, by the names of their tensors.
std::map<std::string, Produce> tuned_scales(const TunedParts& parts, const SourceModel& model,
                                            const at::Tensor& factors, ThreadPool& pool) {
  std::map<std::string, Produce> tuned;
  const Rotary rotary;  // not used: there is no forward pass here
  const auto host = cpu_device(pool);
  int64_t first = 0;
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    const TunedBlock one(model, block, parts, nullptr, rotary, *host);
    const int64_t size = one.layout().small_size();
    for (auto& [name, scales] : one.stored(factors.narrow(0, first, size))) {
      tuned[name + ".row_scale"] = produce_halves(std::move(scales.row_scale));
      tuned[name + ".row_mean"] = produce_halves(std::move(scales.row_mean));
      tuned[name + ".col_gain"] = produce_halves(std::move(scales.col_gain));
      tuned[name + ".code_scale"] = produce_halves(std::move(scales.code_scale));
    }
    first += size;
  }
  return tuned;
}

// Where the signs of a packed linear are.
struct SignPlace {
  int stage = 0;
  size_t block = 0, linear = 0;  // in the stage, and among the packed linears of the block
};

// By the names of their tensors.
std::map<std::string, SignPlace> sign_places(const SourceModel& model, int stages) {
  std::map<std::string, SignPlace> places;
  for (int stage = 0; stage < stages; ++stage) {
    const PositionRange blocks = blocks_of_stage(model.config().blocks, stages, stage);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      size_t linear = 0;
      for (const LinearShape& shape : block_linears(model.config(), block)) {
        if (!is_packed(model.tensors(), shape.tensor)) continue;
        places[shape.tensor + ".signs"] = {stage, static_cast<size_t>(block - blocks.begin),
                                           linear++};
      }
    }
  }
  return places;
}

// On rank 0.
Produce produce_signs(const SignPlace& place, const std::vector<BlockSigns>& own, int64_t bytes,
                      MeshRank& rank) {
  return [=, &own, &rank](const ByteSink& sink) {
    if (place.stage == rank.stage()) {
      sink(std::as_bytes(std::span(own[place.block][place.linear])));
      return;
    }
    std::vector<std::byte> words(static_cast<size_t>(bytes));
    rank.control().receive(words, rank.mesh().rank_of(place.stage, 0));
    sink(words);
  };
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

void write_tuned(const TuneOptions& options, const TunedParts& parts, Files& files,
                 const SourceModel& model, const RunDir& run_dir, const TunedValues& values,
                 const TuningRecord& record, MeshRank& rank, ThreadPool& pool,
                 TuneObserver& observer) {
  PartialFolder partial(files, options.output_dir);
  observer.phase_begins("writing the tuned model");
  copy_companion_files(files, options.model, partial.path());
  std::map<std::string, Produce> tuned = tuned_scales(parts, model, values.factors, pool);
  if (parts.signs) {
    for (const auto& [name, place] : sign_places(model, rank.mesh().stages)) {
      tuned[name] = produce_signs(place, values.signs, model.tensors().info(name).bytes, rank);
    }
  }
  std::vector<TensorSource> tensors;
  for (const std::string& name : names_in_order(model.tensors())) {
    TensorSource& tensor = tensors.emplace_back(copied_tensor(model, name));
    const auto changed = tuned.find(name);
    if (changed != tuned.end()) tensor.produce = changed->second;
  }
  write_shards(files, partial.path(), tensors,
               {{"format", "pt"}, {"quant_method", std::string(quant_method)}}, max_shard_bytes);
  json config = read_config_json(files, options.model);
  config[json::json_pointer(tuning_record)] = describe(record);
  forget_measured(config);
  add_loading_keys(config);
  write_sealed_config(files, partial.path(), std::move(config));
  complete_packed_folder(files, partial.path());
  observer.phase_begins("reading it back");
  verify_packed_folder(files, partial.path(), {});
  run_dir.check();
  partial.commit();
}

// write_shards() produces each tensor once, in the order of the names.
void give_signs(const SourceModel& model, const std::vector<BlockSigns>& signs, MeshRank& rank) {
  const auto places = sign_places(model, rank.mesh().stages);
  for (const std::string& name : names_in_order(model.tensors())) {
    const auto place = places.find(name);
    if (place == places.end() || place->second.stage != rank.stage()) continue;
    const std::vector<uint32_t>& words = signs[place->second.block][place->second.linear];
    rank.control().send(std::as_bytes(std::span(words)), 0);
  }
}

}  // namespace bitmill
