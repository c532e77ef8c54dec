#include "pipeline/folder/assemble.hpp"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.hpp"
#include "base/version.hpp"
#include "format/companions.hpp"
#include "format/config_file.hpp"
#include "format/folder_card.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/packed_seal.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/job/fingerprint.hpp"

namespace bitmill {

TensorSource copied_tensor(const SourceModel& model, const std::string& name) {
  const TensorInfo& info = model.tensors().info(name);
  return {name, info.dtype, info.shape, copy_of(model.tensors(), name)};
}

namespace {

using nlohmann::json;

bool is_empty_or_missing(Files& files, const std::string& folder) {
  return !files.exists(folder) || (files.is_directory(folder) && files.list(folder).empty());
}

// What config.json records at `record`; null when there is nothing.
json recorded_provenance(Files& files, const std::string& folder, const char* record) {
  if (!files.exists(join_path(folder, "config.json"))) return nullptr;
  const json config = read_config_json(files, folder);
  const auto pointer = json::json_pointer(record);
  return config.contains(pointer) ? config.at(pointer) : json(nullptr);
}

json describe(const QuantizeOptions& options, Files& files, const ModelConfig& config,
              const Provenance& provenance) {
  json text = {{"version", std::string(version)},
               {"base_model", base_model_record(files, options.model)},
               {"recipe", options.recipe},
               {"settings", json::parse(provenance.fingerprint_json)},
               {"source_hash", provenance.source_hash},
               {"numerics_class", provenance.numerics_class}};
  if (!config.allowed_keys.empty()) text["allowed_keys"] = config.allowed_keys;
  return text;
}

[[noreturn]] void refuse(const std::string& output_dir, const std::string& why) {
  throw UsageError(fmt::format("the output folder {} {}; choose another --output-dir, or remove it",
                               output_dir, why));
}

// Adds the packed tensors of one linear. They are read from the run folder when they are written.
void add_packed(const std::shared_ptr<const SafetensorsFile>& file, const std::string& linear,
                std::vector<TensorSource>& out) {
  for (const PackedPart& part : packed_parts()) {
    const TensorInfo& info = file->info(linear + part.suffix);
    out.push_back({info.name, info.dtype, info.shape, copy_of(file, info.name)});
  }
}

// In the order of blocks, so that neighbours share a shard; then all other tensors by name.
std::vector<TensorSource> result_tensors(const QuantizeOptions& options, const SourceModel& model,
                                         const RunState& state) {
  std::vector<TensorSource> out;
  std::set<std::string> packed;
  const int last_turn = options.epochs / options.lag - 1;
  for (int64_t block = 0; block < blocks_to_pack(options, model.config()); ++block) {
    const auto file = std::make_shared<const SafetensorsFile>(
        state.open_packed(static_cast<int>(block), last_turn));
    for (const LinearShape& shape : block_linears(model.config(), block)) {
      if (is_kept(options, block, shape.tensor)) continue;
      add_packed(file, shape.tensor, out);
      packed.insert(shape.tensor);
    }
  }
  for (const std::string& name : model.tensors().names()) {
    if (!packed.contains(name)) out.push_back(copied_tensor(model, name));
  }
  return out;
}

void write_config(Files& files, const std::string& from, const std::string& to,
                  const json& provenance) {
  json config = read_config_json(files, from);
  config["quantization_config"] = {{"quant_method", std::string(quant_method)},
                                   {"version", packed::format_version},
                                   {"bitmill", provenance}};
  add_loading_keys(config);
  write_sealed_config(files, to, std::move(config));
}

}  // namespace

void check_is_source(Files& files, const std::string& model_folder) {
  BITMILL_CHECK(!is_packed_folder(files, model_folder), UsageError,
                fmt::format("{} is packed already: quantize the 16-bit model it was made from",
                            model_folder));
}

bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json) {
  if (is_empty_or_missing(files, output_dir)) return false;
  if (!files.is_directory(output_dir)) refuse(output_dir, "is a file");
  const json there = recorded_provenance(files, output_dir, record);
  if (there.is_null()) refuse(output_dir, "is not empty");
  const std::string difference =
      fingerprint_difference(there.value("settings", json::object()).dump(), fingerprint_json);
  if (!difference.empty()) {
    refuse(output_dir, "holds the result of another configuration: " + difference);
  }
  return true;
}

bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json, Communicator& comm) {
  auto answer = static_cast<std::byte>(comm.rank() == 0 &&
                                       check_output(output_dir, files, record, fingerprint_json));
  comm.broadcast(std::span(&answer, 1), 0);
  return answer != std::byte{0};
}

void verify_result(Files& files, const std::string& output_dir, const std::string& source_hash,
                   const char* record) {
  const std::string there =
      recorded_provenance(files, output_dir, record).value("source_hash", "nothing");
  if (there != source_hash) {
    refuse(output_dir, fmt::format("holds the result of other weights: source_hash is {} there and "
                                   "{} here",
                                   there, source_hash));
  }
  verify_packed_folder(files, output_dir, {});
}

void assemble(const QuantizeOptions& options, Files& files, const SourceModel& model,
              const RunDir& run_dir, const Provenance& provenance, QuantizeObserver& observer) {
  PartialFolder partial(files, options.output_dir);
  observer.phase_begins("writing the packed model");
  copy_companion_files(files, options.model, partial.path());
  write_shards(files, partial.path(), result_tensors(options, model, run_dir.state()),
               {{"format", "pt"}, {"quant_method", std::string(quant_method)}},
               options.max_shard_bytes);
  write_config(files, options.model, partial.path(),
               describe(options, files, model.config(), provenance));
  complete_packed_folder(files, partial.path());
  observer.phase_begins("reading it back");
  verify_packed_folder(files, partial.path(), {});
  run_dir.check();  // another process that took over may be making the same result
  partial.commit();
}

}  // namespace bitmill
