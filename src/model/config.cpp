#include "model/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "format/packed_folder.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Far above any model there is, and low enough that no product of ours can overflow.
constexpr int64_t largest_size = int64_t{1} << 31;
constexpr int64_t largest_matrix = int64_t{1} << 40;  // elements

// What the transformers library takes where config.json is silent.
constexpr int64_t default_context = 2048;
constexpr double default_norm_epsilon = 1e-6;
constexpr double default_rope_theta = 10000;

// Reads a config.json to its end and remembers everything that is wrong with it, so that a user
// sees all of it at once.
class ConfigReader {
 public:
  ConfigReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  ModelConfig read();

 private:
  // The value that `get` returns, or `instead` and a problem when it throws.
  template <class Value, class Get>
  Value attempt(Value instead, Get get) {
    try {
      return get();
    } catch (const FormatError& error) {
      problems_.push_back(error.what());
      return instead;
    }
  }
  void require(bool condition, const std::string& problem) {
    if (!condition) problems_.push_back(where_ + ": " + problem);
  }

  const Family* read_family();
  int64_t read_size(const char* key);
  int64_t read_size_or(const char* key, int64_t fallback);
  int64_t checked_size(const char* key, int64_t value);
  double read_number_or(const char* key, double fallback);
  bool read_bool_or(const char* key, bool fallback);
  double read_rope_theta();
  void check_proportions(const ModelConfig& config);
  void check_features();

  const json& object_;
  const std::string where_;
  std::vector<std::string> problems_;
};

ModelConfig ConfigReader::read() {
  ModelConfig config;
  config.family = read_family();
  config.hidden_size = read_size("hidden_size");
  config.intermediate_size = read_size("intermediate_size");
  config.blocks = read_size("num_hidden_layers");
  config.heads = read_size("num_attention_heads");
  config.kv_heads = read_size_or("num_key_value_heads", config.heads);
  config.head_dim = read_size_or("head_dim", config.hidden_size / config.heads);
  config.vocab_size = read_size("vocab_size");
  config.context = read_size_or("max_position_embeddings", default_context);
  config.norm_epsilon = read_number_or("rms_norm_eps", default_norm_epsilon);
  config.rope_theta = read_rope_theta();
  config.tied_embeddings = read_bool_or("tie_word_embeddings", false);
  check_features();
  // A size that could not be read is 1 here, and would only add noise.
  if (problems_.empty()) check_proportions(config);
  BITMILL_CHECK(problems_.empty(), FormatError, fmt::format("{}", fmt::join(problems_, "\n")));
  return config;
}

const Family* ConfigReader::read_family() {
  const auto it = object_.find("architectures");
  if (it == object_.end() || !it->is_array() || it->empty() || !it->front().is_string()) {
    require(false, "\"architectures\" must be a list that begins with the name of an architecture");
    return nullptr;
  }
  const auto architecture = it->front().get<std::string>();
  const Family* family = find_family(architecture);
  require(family != nullptr, fmt::format("architecture \"{}\" is not one that bitmill computes; "
                                         "it knows {}",
                                         architecture, known_architectures()));
  return family;
}

int64_t ConfigReader::checked_size(const char* key, int64_t value) {
  const bool fits = value >= 1 && value <= largest_size;
  require(fits, fmt::format("\"{}\" is {}; it must lie in [1, {}]", key, value, largest_size));
  return fits ? value : 1;
}

int64_t ConfigReader::read_size(const char* key) {
  return checked_size(key, attempt(int64_t{1}, [&] { return json_int(object_, key, where_); }));
}

int64_t ConfigReader::read_size_or(const char* key, int64_t fallback) {
  return checked_size(
      key, attempt(int64_t{1}, [&] { return json_int_or(object_, key, fallback, where_); }));
}

double ConfigReader::read_number_or(const char* key, double fallback) {
  const double value =
      attempt(fallback, [&] { return json_number_or(object_, key, fallback, where_); });
  require(std::isfinite(value) && value > 0,
          fmt::format("\"{}\" is {}; it must be a number above 0", key, value));
  return value;
}

bool ConfigReader::read_bool_or(const char* key, bool fallback) {
  return attempt(fallback, [&] { return json_bool_or(object_, key, fallback, where_); });
}

// The base of the rotary frequencies stands at top level, or, in files written by transformers 5,
// in "rope_parameters", which wins where both are there. "rope_scaling" is its older name.
double ConfigReader::read_rope_theta() {
  double theta = read_number_or("rope_theta", default_rope_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto it = object_.find(key);
    if (it == object_.end() || it->is_null()) continue;
    if (!it->is_object()) {
      require(false, fmt::format("\"{}\" must be an object or null, and is {}", key, it->dump()));
      continue;
    }
    for (const char* type_key : {"rope_type", "type"}) {
      const json type = it->value(type_key, json());
      require(type.is_null() || type == "default",
              fmt::format("\"{}\" has {} {}; only plain rotary positions (\"default\") are "
                          "computed",
                          key, type_key, type.dump()));
    }
    const json share = it->value("partial_rotary_factor", json());
    require(
        share.is_null() || share == 1.0,
        fmt::format("\"{}\" has partial_rotary_factor {}; only 1 is computed", key, share.dump()));
    theta = attempt(theta, [&] {
      return json_number_or(*it, "rope_theta", theta, where_ + ": \"" + key + "\"");
    });
    require(std::isfinite(theta) && theta > 0,
            fmt::format("\"{}\" has rope_theta {}; it must be a number above 0", key, theta));
  }
  return theta;
}

void ConfigReader::check_proportions(const ModelConfig& config) {
  require(config.heads % config.kv_heads == 0,
          fmt::format("\"num_attention_heads\" is {}, not a multiple of \"num_key_value_heads\", "
                      "which is {}",
                      config.heads, config.kv_heads));
  require(config.head_dim % 2 == 0,
          fmt::format("\"head_dim\" is {}; rotary positions need an even one", config.head_dim));
  const json head_dim = object_.value("head_dim", json());
  require(!head_dim.is_null() || config.hidden_size % config.heads == 0,
          fmt::format("\"hidden_size\" is {}, not a multiple of \"num_attention_heads\", which is "
                      "{}, and there is no \"head_dim\"",
                      config.hidden_size, config.heads));
  // Both factors are at most 2^31, or 2^62 for heads * head_dim: compare without multiplying.
  const auto fits = [](int64_t rows, int64_t cols) { return rows <= largest_matrix / cols; };
  const bool attention_fits = fits(config.heads, config.head_dim) &&
                              fits(config.heads * config.head_dim, config.hidden_size);
  require(attention_fits && fits(config.intermediate_size, config.hidden_size) &&
              fits(config.vocab_size, config.hidden_size),
          fmt::format("a matrix would have more than {} elements; \"hidden_size\" is {}, "
                      "\"intermediate_size\" {}, \"vocab_size\" {}, \"num_attention_heads\" {}, "
                      "\"head_dim\" {}",
                      largest_matrix, config.hidden_size, config.intermediate_size,
                      config.vocab_size, config.heads, config.head_dim));
}

void ConfigReader::check_features() {
  const std::string activation = attempt(
      std::string("silu"), [&] { return json_string_or(object_, "hidden_act", "silu", where_); });
  require(activation == "silu",
          fmt::format("\"hidden_act\" is \"{}\"; only \"silu\" is computed", activation));
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    require(!read_bool_or(key, false),
            fmt::format("\"{}\" is true; linears with a bias are not computed", key));
  }
}

}  // namespace

ModelConfig read_model_config(Files& files, const std::string& folder) {
  BITMILL_CHECK(files.is_directory(folder), FileError,
                fmt::format("cannot open the model folder {}: there is no such folder", folder));
  const std::string path = join_path(folder, "config.json");
  BITMILL_CHECK(files.exists(path), FormatError,
                fmt::format("{} has no config.json: it is not a model folder, or was not "
                            "downloaded to its end",
                            folder));
  const json object = parse_json(read_text(files, path, int64_t{1} << 24), path);
  BITMILL_CHECK(object.is_object(), FormatError, path + " must hold a JSON object");
  is_packed_folder(files, folder);  // refuses what another tool, or a newer bitmill, quantized
  return ConfigReader(object, path).read();
}

}  // namespace bitmill
