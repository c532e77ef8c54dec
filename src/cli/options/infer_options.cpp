#include "cli/options/infer_options.hpp"

#include <fmt/format.h>

#include <array>

#include "base/error.hpp"

namespace bitmill {

std::vector<Option> product_options() {
  return {{"activations", "int8|int16|float32", "int8",
           "how precisely packed linears take their input; sums are exact with int8 and int16"},
          {"head", "stored|int8", "stored",
           "the head's matrix as the folder has it, or rounded to int8 row by row: half the bytes"},
          {"backend", "auto|cpu|reference", "auto, which is cpu here",
           "the code that computes; reference is float32 throughout, simple and slow"}};
}

ProductChoice read_product_choice(const Settings& settings) {
  ProductChoice choice;
  const std::string backend = settings.text_or("backend", "");
  BITMILL_CHECK(backend != "cuda", UsageError,
                fmt::format("{}: this command computes on the CPU alone; choose auto, cpu or "
                            "reference",
                            settings.origin("backend")));
  choice.path = settings.word_or("backend", {"auto", "cpu", "reference"}, 0) == 2
                    ? ProductPath::reference
                    : ProductPath::fast;
  if (backend == "auto") choice.note = "backend auto is cpu: this command has no other";
  constexpr std::array precisions = {Activations::int8, Activations::int16, Activations::float32};
  choice.activations = precisions[settings.word_or("activations", {"int8", "int16", "float32"}, 0)];
  choice.activations_given = settings.has("activations");
  choice.int8_head = settings.word_or("head", {"stored", "int8"}, 0) == 1;
  if (choice.path == ProductPath::reference) {
    BITMILL_CHECK(!choice.int8_head &&
                      (!choice.activations_given || choice.activations == Activations::float32),
                  UsageError,
                  "--backend reference computes in float32 throughout: leave out --head int8 and "
                  "--activations, or --backend");
  }
  return choice;
}

ResidentOptions ProductChoice::with(const CpuKernel& kernel) const {
  return {.path = path, .activations = activations, .kernel = &kernel, .int8_head = int8_head};
}

void check_has_effect(const ProductChoice& choice, const std::string& folder, bool packed) {
  const bool looked_at = packed || choice.int8_head || choice.path == ProductPath::reference;
  BITMILL_CHECK(
      !choice.activations_given || looked_at || choice.activations == Activations::float32,
      UsageError,
      fmt::format("--activations {} has no effect: {} is a 16-bit folder, whose linears take their "
                  "input as float32; leave it out",
                  activations_name(choice.activations), folder));
}

void check_one_rank(const std::string& command, int ranks) {
  BITMILL_CHECK(ranks == 1, UsageError,
                fmt::format("bitmill {} runs in one process, and {} ranks were started: start it "
                            "without mpirun or srun, and use --threads",
                            command, ranks));
}

}  // namespace bitmill
