#include "format/handover/loading_keys.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* map_key = "auto_map";
constexpr const char* lock_key = "transformers_weights";
constexpr const char* auto_class = "AutoModelForCausalLM";
// FORMAT.md: never changes. Folders of other versions of bitmill are known by it.
constexpr std::string_view lock_begin = "these weights are packed by bitmill";
constexpr std::string_view lock_text =
    "these weights are packed by bitmill: import its Python package, bitmill, before you load "
    "them, or pass trust_remote_code=True to AutoModelForCausalLM.from_pretrained; README.md "
    "beside them says more";
static_assert(lock_text.starts_with(lock_begin));

const json::json_pointer& kept_map() {
  static const json::json_pointer pointer("/quantization_config/bitmill/source_auto_map");
  return pointer;
}

std::string packed_class() {
  const std::string_view module = python_file_name.substr(0, python_file_name.rfind(".py"));
  return fmt::format("{}.PackedForCausalLM", module);
}

bool is_our_lock(const json& config) {
  const auto lock = config.find(lock_key);
  return lock != config.end() && lock->is_string() &&
         lock->get_ref<const std::string&>().starts_with(lock_begin);
}

bool is_our_map(const json& config) {
  const auto map = config.find(map_key);
  return map != config.end() && map->is_object() &&
         map->value(auto_class, json()) == packed_class();
}

}  // namespace

void add_loading_keys(json& config) {
  remove_loading_keys(config);
  if (config.contains(map_key)) config[kept_map()] = config[map_key];
  config[map_key] = {{auto_class, packed_class()}};
  config[lock_key] = lock_text;
}

void remove_loading_keys(json& config) {
  if (is_our_lock(config)) config.erase(lock_key);
  if (!is_our_map(config)) return;
  config.erase(map_key);
  if (!config.contains(kept_map())) return;
  config[map_key] = config[kept_map()];
  config[kept_map().parent_pointer()].erase(kept_map().back());
}

void write_python_file(Files& files, const std::string& folder) {
  replace_file(files, join_path(folder, python_file_name), embedded_python_file());
}

}  // namespace bitmill
