#include "cli/options/shared_options.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "device/device.hpp"
#include "device/host_product.hpp"

namespace bitmill {

Option config_option() {
  return {"config", "FILE", "",
          "read options from a section named after the command; the command line wins"};
}

Option threads_option() {
  return {"threads", "N", "the processors of this rank, divided among the ranks that share them",
          "threads of one rank; changes the speed, never the result"};
}

Option timeout_option() {
  return {"timeout", "TIME", "300",
          "end the job when a rank is silent, or no rank makes progress, for this long: seconds, "
          "or as 5m or 00:05:00; 0: never"};
}

Option json_option(const std::string& what) {
  return {"json", "", "", "print " + what + " as one JSON object on standard output"};
}

Option allow_key_option() {
  return {
      "allow-key", "NAME,...", "",
      "keys of config.json that bitmill does not know and that change nothing that is computed: "
      "you have looked. One inside of another is written rope_scaling.NAME"};
}

Option tensor_prefix_option() {
  return {"tensor-prefix", "TEXT", "",
          "cut this off the names of the model's tensors, such as module. or language_model."};
}

std::vector<std::string> read_list(const Settings& settings, const std::string& name,
                                   std::string_view of) {
  std::vector<std::string> parts;
  if (!settings.has(name)) return parts;
  const std::string text = settings.text_or(name, "");
  for (size_t from = 0, comma = 0; comma != text.npos; from = comma + 1) {
    comma = text.find(',', from);
    parts.push_back(text.substr(from, comma - from));
    BITMILL_CHECK(!parts.back().empty(), UsageError,
                  fmt::format("{}: \"{}\" must be {} with commas between them",
                              settings.origin(name), text, of));
  }
  return parts;
}

ModelReading read_model_reading(const Settings& settings) {
  ModelReading reading;
  reading.tensor_prefix = settings.text_or("tensor-prefix", "");
  reading.allowed_keys = read_list(settings, "allow-key", "names of keys");
  return reading;
}

Option gpu_backend_option() {
  return {"backend", "auto|cuda|cpu|reference", "auto",
          "the code that computes: auto takes a GPU where this program has CUDA and sees one, and "
          "says which; reference is simple and slow to train with, and evaluates as cpu does"};
}

Option dtype_option() {
  return {"dtype", "bfloat16|float32", "bfloat16 on a GPU, else float32",
          "type of products, and on a GPU of activations; what is learned is float32. bfloat16 is "
          "for processors that have AVX512_BF16 or AMX, and refused on others"};
}

namespace {

void check_bfloat16(const std::string& backend, const std::string& origin) {
  BITMILL_CHECK(backend == "cpu", UsageError,
                fmt::format("{}: the {} backend computes in float32", origin, backend));
  const std::string reason = why_no_bfloat16();
  BITMILL_CHECK(
      reason.empty(), UsageError,
      fmt::format("{}: bfloat16 is not offered here: {}; leave --dtype out", origin, reason));
}

}  // namespace

BackendChoice read_backend_choice(const Settings& settings) {
  const std::vector<std::string> names = {"auto", "cuda", "cpu", "reference"};
  BackendChoice choice{.backend = names[settings.word_or("backend", names, 0)]};
  if (choice.backend == "auto" || choice.backend == "cuda") {
    const CudaHost host = find_cuda_devices();
    BITMILL_CHECK(host.compiled || choice.backend == "auto", UsageError,
                  fmt::format("{}: {}; or choose cpu", settings.origin("backend"), host.problem));
    if (choice.backend == "auto") {
      choice.backend = host.problem.empty() ? "cuda" : "cpu";
      if (host.compiled && !host.problem.empty()) {
        choice.note = fmt::format("the CPU computes: {}", host.problem);
      }
    }
  }
  const bool on_gpu = choice.backend == "cuda";
  const size_t type = settings.word_or("dtype", {"float32", "bfloat16"}, on_gpu ? 1 : 0);
  if (type == 1 && !on_gpu) check_bfloat16(choice.backend, settings.origin("dtype"));
  choice.dtype = type == 0 ? Dtype::float32 : Dtype::bfloat16;
  return choice;
}

}  // namespace bitmill
