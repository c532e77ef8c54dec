#include "format/folder_card.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/json.hpp"
#include "format/config_file.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/handover/model_card.hpp"
#include "format/handover/preprocessed_card.hpp"
#include "format/handover/source_card.hpp"
#include "format/inspection.hpp"
#include "format/packed_seal.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Whether the text is owner/name, as models are named on the Hub.
bool is_hub_id(const std::string& text) {
  constexpr size_t longest = 200;  // the Hub allows 96 characters for each part
  const auto is_letter = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  };
  const size_t slash = text.find('/');
  return text.size() <= longest && slash != text.npos && slash > 0 && slash + 1 < text.size() &&
         text.front() != '.' && text[slash + 1] != '.' &&
         std::ranges::count_if(text, is_letter) == std::ssize(text) - 1;
}

// Of the Hub's cache: .../models--owner--name/snapshots/<revision>. Empty for any other path.
std::string hub_id_of_path(const std::string& path) {
  constexpr std::string_view begin = "models--", between = "--";
  const std::string snapshots = parent_path(path);
  if (file_name(snapshots) != "snapshots") return "";
  std::string name = file_name(parent_path(snapshots));
  if (!name.starts_with(begin)) return "";
  name.erase(0, begin.size());
  const size_t place = name.find(between);
  if (place == name.npos) return "";
  name.replace(place, between.size(), "/");
  return is_hub_id(name) ? name : "";
}

// As it can be in JSON: a folder's name is bytes, and config.json is written when all is computed.
json utf8_of(const std::string& name) { return json::parse(json_text(name)); }

// The cards show what is there, and are written for folders of any bitmill: nothing is required.
std::string text_at(const json& object, const char* key) {
  const json value = object.is_object() ? object.value(key, json()) : json();
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() ? value.dump() : "";
}

json object_at(const json& object, const char* key) {
  const json value = object.is_object() ? object.value(key, json()) : json();
  return value.is_object() ? value : json::object();
}

std::string calibration_of(const json& settings) {
  const std::string samples = text_at(settings, "samples"), tokens = text_at(settings, "seq_len"),
                    epochs = text_at(settings, "epochs");
  if (samples.empty() || tokens.empty() || epochs.empty()) return "";
  return fmt::format("{} windows of {} tokens, {} epochs per block", samples, tokens, epochs);
}

std::string left_out_of(const json& settings) {
  std::string text;
  const std::string ignore = text_at(settings, "ignore"), blocks = text_at(settings, "max_blocks");
  if (!ignore.empty()) text = "linears that match the setting `ignore`";
  if (blocks.empty() || blocks == "0") return text;
  return fmt::format("{}{}all blocks after the first {}", text, text.empty() ? "" : ", and ",
                     blocks);
}

std::optional<CardFacts::Tuning> tuning_of(const json& tuning) {
  const json epochs = tuning.value("epochs", json()), kept = tuning.value("kept_epoch", json()),
             before = tuning.value("kl_before", json()), after = tuning.value("kl_after", json());
  if (!epochs.is_number_integer() || !kept.is_number_integer()) return std::nullopt;
  if (!before.is_number() || !after.is_number()) return std::nullopt;
  return CardFacts::Tuning{epochs.get<int64_t>(), kept.get<int64_t>(), before.get<double>(),
                           after.get<double>()};
}

std::optional<CardFacts::Measured> measured_of(const json& measured) {
  const auto number = [&](const char* key) -> std::optional<double> {
    const json value = measured.value(key, json());
    return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
  };
  const auto after = number("perplexity"), before = number("perplexity_original");
  if (!after || !before) return std::nullopt;
  return CardFacts::Measured{text_at(measured, "text"),
                             text_at(measured, "windows"),
                             text_at(measured, "seq_len"),
                             *before,
                             *after,
                             number("kl"),
                             number("top1")};
}

// What config.json and the tensors of a packed folder say.
CardFacts facts_of(Files& files, const std::string& packed) {
  const json config = read_config_json(files, packed);
  const json record = object_at(object_at(config, "quantization_config"), "bitmill");
  const json base = object_at(record, "base_model"), settings = object_at(record, "settings");
  const Inspection inspection = inspect_folder(files, packed);
  CardFacts facts;
  facts.base_name = text_at(base, "name");
  facts.hub_id = text_at(base, "hub_id");
  facts.preprocessed = base.value("preprocessed", json()) == true;
  facts.version = text_at(record, "version");
  facts.recipe = text_at(record, "recipe");
  facts.calibration = calibration_of(settings);
  facts.left_out = left_out_of(settings);
  facts.linears = std::ssize(inspection.linears);
  facts.bits_per_weight = inspection.bits_per_weight();
  facts.bits_per_parameter = inspection.bits_per_parameter();
  facts.file_bytes = inspection.file_bytes;
  facts.tuning = tuning_of(object_at(record, "tuning"));
  facts.measured = measured_of(object_at(record, "measured"));
  return facts;
}

void write_card(Files& files, const std::string& folder, CardFacts facts) {
  set_source_card_aside(files, folder);
  facts.source = read_source_card(files, folder);
  replace_file(files, join_path(folder, "README.md"), model_card(facts));
}

}  // namespace

json base_model_record(Files& files, const std::string& model) {
  // What preprocess made is named after the model it began with: its own folder is often a place
  // in a work folder.
  if (files.exists(join_path(model, "config.json"))) {
    json began_with =
        object_at(object_at(read_config_json(files, model), "bitmill_preprocess"), "base_model");
    if (!began_with.empty()) {
      began_with["preprocessed"] = true;
      return began_with;
    }
  }
  const std::string path = files.resolve(model);
  // Not "_name_or_path" of config.json: a fine-tuned model names there what it was made from.
  const std::string hub_id = hub_id_of_path(path);
  json record = {{"name", utf8_of(file_name(hub_id.empty() ? path : hub_id))}};
  if (!hub_id.empty()) record["hub_id"] = hub_id;
  return record;
}

void complete_packed_folder(Files& files, const std::string& folder) {
  write_python_file(files, folder);
  write_card(files, folder, facts_of(files, folder));
}

void complete_exported_folder(Files& files, const std::string& packed, const std::string& folder,
                              Dtype dtype) {
  CardFacts facts = facts_of(files, packed);
  facts.file_bytes = inspect_folder(files, folder).file_bytes;
  facts.exported_dtype = dtype_word(dtype);
  write_card(files, folder, std::move(facts));
}

void complete_preprocessed_folder(Files& files, const std::string& folder, const json& record) {
  set_source_card_aside(files, folder);
  const json base = object_at(record, "base_model"), settings = object_at(record, "settings");
  PreprocessedFacts facts;
  facts.base_name = text_at(base, "name");
  facts.hub_id = text_at(base, "hub_id");
  facts.source = read_source_card(files, folder);
  facts.version = text_at(record, "version");
  facts.rank = settings.value("rank", int64_t{0});
  facts.steps = settings.value("steps", int64_t{0});
  facts.batch = settings.value("batch", int64_t{0});
  facts.seq_len = settings.value("seq_len", int64_t{0});
  facts.loss = text_at(settings, "loss");
  facts.held_out_before = record.value("held_out_before", 0.0);
  facts.held_out_after = record.value("held_out_after", 0.0);
  replace_file(files, join_path(folder, "README.md"), preprocessed_card(facts));
}

void record_measured(Files& files, const std::string& folder, const json& figures) {
  json config = read_sealed_config(files, folder);
  json& record = config["quantization_config"]["bitmill"]["measured"];
  if (record == figures) return;
  // The card first: where this is killed in between, the config says that it is still to be done.
  CardFacts facts = facts_of(files, folder);
  facts.measured = measured_of(figures);
  write_card(files, folder, std::move(facts));
  record = figures;
  write_resealed_config(files, folder, std::move(config));
}

void forget_measured(json& config) {
  const json::json_pointer record("/quantization_config/bitmill");
  if (config.contains(record) && config[record].is_object()) config[record].erase("measured");
}

}  // namespace bitmill
