#include "model/rope_config.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "model/config_keys.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr double default_theta = 10000;

// As in transformers 5: "rope_scaling" is the older key and wins, with all it says; an empty object
// says nothing. nullptr where neither says anything.
const char* rope_key(const ConfigFields& fields) {
  const char* found = nullptr;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (fields.has(key) && !fields.object().at(key).empty()) found = key;
  }
  return found;
}

void check_is_whole(ConfigFields& fields) {
  if (!fields.has("partial_rotary_factor")) return;
  const json& part = fields.object().at("partial_rotary_factor");
  fields.require(part == 1.0,
                 fmt::format("partial_rotary_factor is {}; only 1 is computed", part.dump()));
}

void read_llama3(ConfigFields& fields, int64_t context, RopeConfig& rope) {
  rope.scaling = RopeScaling::llama3;
  for (const char* key : {"low_freq_factor", "high_freq_factor"}) {
    fields.require(fields.has(key), fmt::format("\"{}\" is missing", key));
  }
  rope.low_freq_factor = fields.positive_or("low_freq_factor", 1);
  rope.high_freq_factor = fields.positive_or("high_freq_factor", 4);
  rope.original_context = context;
  fields.require(rope.high_freq_factor > rope.low_freq_factor,
                 fmt::format("\"high_freq_factor\" is {}; it must be above \"low_freq_factor\", "
                             "which is {}",
                             rope.high_freq_factor, rope.low_freq_factor));
}

// With a factor of 1 and no other factor of the attention, yarn is a mean of equal frequencies.
// Where the factor is null, transformers takes the ratio of the contexts.
void check_yarn_is_plain(ConfigFields& fields, int64_t context, int64_t whole_context) {
  const double ratio = static_cast<double>(whole_context) / static_cast<double>(context);
  fields.require(fields.object().contains("factor"), "the \"factor\" of \"yarn\" is missing");
  const double factor = fields.positive_or("factor", ratio);
  const double attention = fields.positive_or("attention_factor", 1);
  fields.require(factor == 1 && attention == 1,
                 fmt::format("the type of rotary positions is \"yarn\" with a factor of {} and an "
                             "attention_factor of {}; it is computed only where both are 1. If the "
                             "model was trained without it, and it only stretches the context: "
                             "remove it, and set \"max_position_embeddings\" to {}",
                             factor, attention, context));
}

// Keys that belong to other types of scaling say nothing, as in transformers.
void see_all_that_scalings_have(ConfigFields& fields) {
  for (const char* key :
       {"type", "rope_type", "factor", "low_freq_factor", "high_freq_factor", "attention_factor",
        "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
        "truncate", "short_factor", "long_factor", "short_mscale", "long_mscale", "finetuned"}) {
    fields.saw(key);
  }
}

// The type of scaling, under its present key or its older one.
std::string rope_type(ConfigFields& fields) {
  return fields.text_or("rope_type", fields.text_or("type", "default"));
}

// `context` is the one before scaling, `whole_context` that of the model.
void read_scaling(ConfigFields& fields, int64_t context, int64_t whole_context, RopeConfig& rope) {
  const std::string type = rope_type(fields);
  // Dynamic scaling changes only sequences longer than the context, and those are not computed.
  if (type == "default" || type == "dynamic") return;
  if (type == "yarn") return check_yarn_is_plain(fields, context, whole_context);
  if (type != "linear" && type != "llama3") {
    fields.require(false, fmt::format("the type of rotary positions is \"{}\"; \"default\", "
                                      "\"linear\", \"dynamic\" and \"llama3\" are computed, and "
                                      "\"yarn\" with a factor of 1",
                                      type));
    return;
  }
  fields.require(fields.has("factor"), "\"factor\" is missing");
  rope.factor = fields.positive_or("factor", 1);
  if (type == "linear") {
    rope.scaling = RopeScaling::linear;
  } else {
    read_llama3(fields, context, rope);
  }
}

// What is written inside of the object under `key`.
void read_rope_object(ConfigFields& fields, const char* key, int64_t context,
                      std::span<const std::string> allowed, std::vector<std::string>& used,
                      RopeConfig& rope) {
  ConfigFields inner(fields.object().at(key), fmt::format("{}: \"{}\"", fields.where(), key));
  for (const auto& [name, value] : inner.object().items()) {
    if (!value.is_object()) continue;
    inner.saw(name.c_str());
    inner.require(false,
                  fmt::format("\"{}\" is an object; positions that differ from block to block are "
                              "not computed",
                              name));
  }
  rope.theta = inner.positive_or("rope_theta", rope.theta);
  check_is_whole(inner);
  // Where both say it, transformers takes the one beside the object.
  const int64_t inside = inner.size_or("original_max_position_embeddings", context);
  const int64_t original = fields.size_or("original_max_position_embeddings", inside);
  read_scaling(inner, original, context, rope);
  see_all_that_scalings_have(inner);
  check_unread_keys(inner, fmt::format("{}.", key), allowed, used);
  fields.adopt(inner);
}

}  // namespace

RopeConfig read_rope(ConfigFields& fields, int64_t context, std::span<const std::string> allowed,
                     std::vector<std::string>& used) {
  RopeConfig rope;
  rope.theta = fields.positive_or("rope_theta", default_theta);
  check_is_whole(fields);
  fields.saw("original_max_position_embeddings");  // says nothing where nothing is scaled
  const char* key = rope_key(fields);
  if (key == nullptr) return rope;
  const json& object = fields.object().at(key);
  if (object.is_object()) {
    read_rope_object(fields, key, context, allowed, used, rope);
  } else {
    fields.require(false,
                   fmt::format("\"{}\" must be an object or null, and is {}", key, object.dump()));
  }
  return rope;
}

}  // namespace bitmill
