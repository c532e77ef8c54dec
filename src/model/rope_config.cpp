#include "model/rope_config.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

namespace bitmill {
namespace {

using nlohmann::json;

constexpr double default_theta = 10000;

// "rope_scaling" is the older key and wins; "rope_parameters" is the key of transformers 5. nullptr
// where neither is there.
const char* rope_key(const ConfigFields& fields) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (fields.has(key)) return key;
  }
  return nullptr;
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
  rope.original_context = fields.size_or("original_max_position_embeddings", context);
  fields.require(rope.high_freq_factor > rope.low_freq_factor,
                 fmt::format("\"high_freq_factor\" is {}; it must be above \"low_freq_factor\", "
                             "which is {}",
                             rope.high_freq_factor, rope.low_freq_factor));
}

// The type of scaling, under its present key or its older one.
std::string rope_type(ConfigFields& fields) {
  return fields.text_or("rope_type", fields.text_or("type", "default"));
}

void read_scaling(ConfigFields& fields, int64_t context, RopeConfig& rope) {
  const std::string type = rope_type(fields);
  // Dynamic scaling changes only sequences longer than the context, and those are not computed.
  if (type == "default" || type == "dynamic") return;
  if (type != "linear" && type != "llama3") {
    fields.require(false, fmt::format("the type of rotary positions is \"{}\"; \"default\", "
                                      "\"linear\", \"dynamic\" and \"llama3\" are computed",
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

}  // namespace

RopeConfig read_rope(ConfigFields& fields, int64_t context) {
  RopeConfig rope;
  rope.theta = fields.positive_or("rope_theta", default_theta);
  check_is_whole(fields);
  const char* key = rope_key(fields);
  if (key == nullptr) return rope;
  const json& object = fields.object().at(key);
  if (!object.is_object()) {
    fields.require(false,
                   fmt::format("\"{}\" must be an object or null, and is {}", key, object.dump()));
    return rope;
  }
  ConfigFields inner(object, fmt::format("{}: \"{}\"", fields.where(), key));
  for (const auto& [name, value] : object.items()) {
    inner.require(!value.is_object(),
                  fmt::format("\"{}\" is an object; positions that differ from block to block are "
                              "not computed",
                              name));
  }
  rope.theta = inner.positive_or("rope_theta", rope.theta);
  check_is_whole(inner);
  // Older files have it at the top level of config.json, outside of the rope object.
  const int64_t original = fields.size_or("original_max_position_embeddings", context);
  read_scaling(inner, original, rope);
  fields.adopt(inner);
  return rope;
}

}  // namespace bitmill
