#include "pipeline/adapting/merged_folder.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/version.hpp"
#include "format/companions.hpp"
#include "format/config_file.hpp"
#include "format/folder_card.hpp"
#include "format/partial_folder.hpp"
#include "format/safetensors_writer.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/adapting/adapter_state.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/source_hashes.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The same size as quantize() uses by default.
constexpr int64_t merged_shard_bytes = int64_t{5} * 1000 * 1000 * 1000;

// Makes the weights of the result, one block in memory at a time: the last that was asked for.
class MergedWeights {
 public:
  MergedWeights(const PreprocessOptions& options, const SourceModel& base,
                const SourceModel& original, SavedBlock saved, ThreadPool& pool)
      : options_(options),
        base_(base),
        original_(original),
        saved_(std::move(saved)),
        device_(cpu_device(pool)) {}

  void give(int64_t block, size_t role, const ByteSink& sink) {
    open(block);
    const at::Tensor weight = block_->merged(role, values_);
    BITMILL_CHECK(
        at::isfinite(weight).all().item<bool>(), NumericError,
        fmt::format("\"{}\" with its adapter does not fit {}, the type of the original's: the "
                    "training diverged; begin anew with a lower --lr and --resume never",
                    block_->shape(role).tensor, dtype_word(dtype_of(weight.scalar_type()))));
    sink(bytes_of(weight.contiguous()));
  }

 private:
  void open(int64_t block) {
    if (block == number_) return;
    block_.reset();
    block_ = std::make_unique<LoraBlock>(base_, original_, block, options_.lora, rotary_, *device_);
    const TensorInfo& info = saved_.tensors.info(values_name(block));
    values_ = at::empty({info.elements()});
    BITMILL_CHECK(
        info.elements() == block_->layout().size(), FormatError,
        fmt::format("{}: \"{}\" has {} values, and {} belong there; start over with "
                    "--resume never",
                    saved_.tensors.path(), info.name, info.elements(), block_->layout().size()));
    saved_.tensors.read(info, bytes_of(values_));
    number_ = block;
  }

  const PreprocessOptions& options_;
  const SourceModel& base_;
  const SourceModel& original_;
  const SavedBlock saved_;
  const std::unique_ptr<Device> device_;
  const Rotary rotary_;  // not used: there is no forward pass here
  int64_t number_ = -1;
  std::unique_ptr<LoraBlock> block_;
  at::Tensor values_;
};

struct Place {
  int64_t block = 0;
  size_t role = 0;
};

// The weights that differ from the original's, by name.
std::map<std::string, Place> changed_weights(const PreprocessOptions& options,
                                             const SourceModel& base) {
  std::map<std::string, Place> changed;
  for (int64_t block = 0; block < base.config().blocks; ++block) {
    const std::vector<LinearShape> linears = block_linears(base.config(), block);
    for (size_t role = 0; role < linears.size(); ++role) {
      const LinearShape& shape = linears[role];
      const bool adapted = options.lora.targets.contains(shape.role);
      if (adapted || is_packed(base.tensors(), shape.tensor)) changed[shape.tensor] = {block, role};
    }
  }
  return changed;
}

// By name, which keeps the weights of a block together.
std::vector<TensorSource> result_tensors(const std::map<std::string, Place>& changed,
                                         const SourceModel& original, MergedWeights& merged) {
  std::vector<TensorSource> tensors;
  for (const std::string& name : original.tensors().names()) {
    TensorSource& tensor = tensors.emplace_back(copied_tensor(original, name));
    const auto found = changed.find(name);
    if (found == changed.end()) continue;
    tensor.produce = [&merged, place = found->second](const ByteSink& sink) {
      merged.give(place.block, place.role, sink);
    };
  }
  return tensors;
}

// A hash of everything that the tensor files of a folder hold.
std::string hash_of_tensors(Files& files, const std::string& folder, const ModelReading& reading,
                            ThreadPool& pool) {
  const SourceModel model(files, folder, reading);
  return combined_hash(hash_tensors(model, model.tensors().names(), pool));
}

json describe(Files& files, const PreprocessOptions& options, const MergeRecord& record,
              const std::string& result_hash) {
  return {{"version", std::string(version)},
          {"base_model", base_model_record(files, options.model)},
          {"settings", json::parse(record.fingerprint_json)},
          {"source_hash", record.source_hash},
          {"result_hash", result_hash},
          {"numerics_class", record.numerics_class},
          {"train_loss", record.history.train.back()},
          {"held_out_before", record.history.held_out.front()},
          {"held_out_after", record.history.held_out.back()}};
}

}  // namespace

void write_merged(const PreprocessOptions& options, Files& files, const SourceModel& base,
                  const SourceModel& original, const RunDir& run_dir, const MergeRecord& record,
                  ThreadPool& pool, PreprocessObserver& observer) {
  PartialFolder partial(files, options.output_dir);
  observer.phase_begins("writing the merged model");
  copy_companion_files(files, options.model, partial.path());
  MergedWeights merged(options, base, original, run_dir.state().open_live(all_adapters), pool);
  write_shards(files, partial.path(),
               result_tensors(changed_weights(options, base), original, merged), {{"format", "pt"}},
               merged_shard_bytes);
  observer.phase_begins("reading it back");
  json config = read_config_json(files, options.model);
  const std::string path = join_path(partial.path(), "config.json");
  replace_file(files, path, config.dump(2) + "\n");  // without it the folder is no model
  const auto pointer = json::json_pointer(preprocess_record);
  config[pointer] = describe(files, options, record,
                             hash_of_tensors(files, partial.path(), options.reading, pool));
  replace_file(files, path, config.dump(2) + "\n");
  complete_preprocessed_folder(files, partial.path(), config[pointer]);
  run_dir.check();
  partial.commit();
}

void verify_merged(const PreprocessOptions& options, Files& files, const std::string& source_hash,
                   ThreadPool& pool) {
  const std::string& output_dir = options.output_dir;
  const json config = read_config_json(files, output_dir);
  const json record = config.value(json::json_pointer(preprocess_record), json::object());
  const std::string there = record.value("source_hash", "nothing");
  BITMILL_CHECK(there == source_hash, UsageError,
                fmt::format("the output folder {} holds the result of other weights: source_hash "
                            "is {} there and {} here; choose another --output-dir, or remove it",
                            output_dir, there, source_hash));
  const std::string here = hash_of_tensors(files, output_dir, options.reading, pool);
  BITMILL_CHECK(record.value("result_hash", "nothing") == here, FormatError,
                fmt::format("{}: the tensors are not those that config.json was written for "
                            "(result_hash {} there, {} here); remove the folder and run again",
                            output_dir, record.value("result_hash", "nothing"), here));
}

}  // namespace bitmill
