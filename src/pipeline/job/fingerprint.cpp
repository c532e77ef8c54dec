#include "pipeline/job/fingerprint.hpp"

#include <ATen/Version.h>
#include <cpuid.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "format/packed_layout.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

json describe_rope(const RopeConfig& rope) {
  return {{"theta", rope.theta},
          {"type", std::string(name_of(rope.scaling))},
          {"factor", rope.factor},
          {"low_freq_factor", rope.low_freq_factor},
          {"high_freq_factor", rope.high_freq_factor},
          {"original_context", rope.original_context}};
}

std::string processor() {
  std::array<unsigned, 4> r = {};
  std::array<char, 13> vendor = {};
  __get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
  std::memcpy(vendor.data(), &r[1], 4);
  std::memcpy(vendor.data() + 4, &r[3], 4);
  std::memcpy(vendor.data() + 8, &r[2], 4);
  __get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
  // Both include their extended fields, combined as the processor manuals say.
  const unsigned family = ((r[0] >> 8) & 15U) + ((r[0] >> 20) & 255U);
  const unsigned model = ((r[0] >> 4) & 15U) | (((r[0] >> 16) & 15U) << 4U);
  return fmt::format("{} family {} model {}", vendor.data(), family, model);
}

// A rate is in it only if its value is learned, and a setting only if it has an effect.
json describe_method(const QuantizeOptions& options) {
  const MethodSettings& method = options.method;
  json text = {
      {"int4_clip", method.int4_clip},          {"center", method.center},
      {"init", word_of(method.init)},           {"loss", word_of(method.loss.error)},
      {"loss_normal", method.loss.normal},      {"loss_homologous", method.loss.homologous},
      {"lr_schedule", word_of(method.schedule)}};
  if (method.learned.signs) {
    text["lr_sign"] = method.lr_sign;
    text["sign_state_bits"] = options.half_latents ? 16 : 32;
  }
  if (method.learned.row_means) text["lr_mean"] = method.lr_mean;
  if (method.learned.code_scales) text["lr_code_scale"] = method.lr_code_scale;
  return text;
}

// A hash of the names, dtypes and shapes of all tensors.
std::string hash_shapes(const TensorFolder& tensors) {
  Hasher hasher;
  for (const std::string& name : tensors.names()) {
    const TensorInfo& info = tensors.info(name);
    hasher.add_text(name);
    hasher.add_text(info.dtype_text);
    hasher.add(std::as_bytes(std::span(info.shape)));
  }
  return hasher.hex();
}

}  // namespace

std::string describe_model(const SourceModel& model) {
  const ModelConfig& config = model.config();
  return json{{"architecture", std::string(config.family->architecture)},
              {"blocks", config.blocks},
              {"hidden_size", config.hidden_size},
              {"intermediate_size", config.intermediate_size},
              {"heads", config.heads},
              {"kv_heads", config.kv_heads},
              {"head_dim", config.head_dim},
              {"norm_epsilon", config.norm_epsilon},
              {"rope", describe_rope(config.rope)},
              {"activation", std::string(name_of(config.activation))},
              {"norm_first", config.norm_first},
              {"tensors", hash_shapes(model.tensors())}}
      .dump();
}

// The hash of the windows covers both. They are recorded for those who read config.json, and only
// where they were given, so that fingerprints from before they existed stay as they are.
void record_window_settings(const std::optional<uint64_t>& shuffle_seed, const Windows& windows,
                            json& fingerprint) {
  if (shuffle_seed) fingerprint["shuffle_seed"] = *shuffle_seed;
  if (windows.bos) fingerprint["window_bos"] = *windows.bos;
}

std::string make_fingerprint(const QuantizeOptions& options, const SourceModel& model,
                             const Windows& windows) {
  json fingerprint = {
      {"arithmetic_version", arithmetic_version},
      {"format_version", packed::format_version},
      {"model", json::parse(describe_model(model))},
      {"windows", windows.hash()},
      {"samples", windows.count},
      {"seq_len", windows.seq_len},
      {"epochs", options.epochs},
      {"batch", options.batch},
      {"lag", options.lag},
      {"salient_ratio", options.method.salient_ratio.text()},
      {"saliency", word_of(options.method.saliency)},
      {"int4_range", word_of(options.method.int4_range)},
      {"lr_scale", options.method.lr_scale},
      {"lr_gain", options.method.lr_gain},
      {"method", describe_method(options)},
      {"backend", options.backend},
      {"stream_dtype", std::string(dtype_word(options.stream_dtype))},
      {"ignore", options.ignore.text()},
      {"max_blocks", options.max_blocks},
  };
  if (options.dtype != Dtype::float32) fingerprint["dtype"] = dtype_word(options.dtype);
  record_window_settings(options.shuffle_seed, windows, fingerprint);
  return fingerprint.dump();
}

namespace {

std::string class_of_cpu(const std::string& backend, std::string_view products) {
  return fmt::format("{}, {}, libtorch {}, {}, {}", backend, products, TORCH_VERSION, processor(),
                     at::get_cpu_capability());
}

}  // namespace

std::string numerics_class(const std::string& backend) { return class_of_cpu(backend, "float32"); }

std::string numerics_class(const std::string& backend, const Device& device) {
  if (device.torch().is_cpu()) {
    return class_of_cpu(backend, dtype_word(dtype_of(device.operand())));
  }
  // The host makes masks and descent, and rounds what is stored.
  return fmt::format("{}, {}, {}, {}", backend, device.numerics(), processor(),
                     at::get_cpu_capability());
}

namespace {

// A setting that has no effect is missing in the JSON: null here.
std::string words_for(const json& value) { return value.is_null() ? "not set" : value.dump(); }

std::string first_difference(const json& there, const json& here, const std::string& prefix) {
  json keys = there;
  keys.update(here);
  for (const auto& [key, unused] : keys.items()) {
    const std::string name = prefix + key;
    const json a = there.value(key, json()), b = here.value(key, json());
    if (a.is_object() && b.is_object()) {
      const std::string inner = first_difference(a, b, name + ".");
      if (!inner.empty()) return inner;
    } else if (a != b) {
      return fmt::format("{} is {} there and {} here", name, words_for(a), words_for(b));
    }
  }
  return "";
}

}  // namespace

std::string fingerprint_difference(const std::string& there, const std::string& here) {
  const json known = json::parse(here);
  return known.empty() ? "" : first_difference(json::parse(there), known, "");
}

}  // namespace bitmill
