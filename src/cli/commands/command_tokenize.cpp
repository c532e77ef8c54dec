#include <fmt/format.h>

#include "base/error.hpp"
#include "cli/commands/command.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/report/quantity.hpp"
#include "data/token_text.hpp"
#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {
namespace {

class TokenizeCommand : public Command {
 public:
  explicit TokenizeCommand(const Settings& settings)
      : model_(settings.text_or("model", "")),
        reading_(read_model_reading(settings)),
        corpus_(settings.text_or("corpus", "")),
        output_(settings.text_or("output", "")),
        text_key_(settings.text_or("text-key", "")) {
    settings.require({"model", "corpus", "output"}, "tokenize");
    BITMILL_CHECK(output_.ends_with(".safetensors"), UsageError,
                  fmt::format("{}: a token file ends in .safetensors, and \"{}\" does not",
                              settings.origin("output"), output_));
    BITMILL_CHECK(output_ != corpus_, UsageError,
                  fmt::format("--output would overwrite --corpus {}", corpus_));
  }

  // An existing token file may be overwritten. Another file of that name, such as a model's
  // weights, may not.
  void check(const CheckContext& context) override {
    throw_place_problem(file_problem(context.files, "--output", output_));
    BITMILL_CHECK(!lies_in(context.files.resolve(output_), context.files.resolve(model_)),
                  UsageError,
                  fmt::format("--output {} lies in the model folder {}, where a file more of this "
                              "kind may be taken for weights; give another path",
                              output_, model_));
    if (!context.files.exists(output_)) return;
    const SafetensorsFile there(context.files, output_);
    BITMILL_CHECK(
        there.tensors().size() == 1 && there.tensors().contains("input_ids"), UsageError,
        fmt::format("--output {} exists and is not a token file; choose another name", output_));
  }

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    const ModelConfig config = read_model_config(context.files, model_, reading_);
    check_is_needed(reading_, config);
    const Tokens tokens = read_tokens(context.files, corpus_, model_, config.vocab_size, text_key_);
    write_token_file(context.files, output_, tokens);
    context.console.say(fmt::format(
        "{} tokens written to {}", format_count(static_cast<int64_t>(tokens.ids.size())), output_));
  }

 private:
  const std::string model_;
  const ModelReading reading_;
  const std::string corpus_;
  const std::string output_;
  const std::string text_key_;
};

}  // namespace

CommandEntry tokenize_entry() {
  return {.name = "tokenize",
          .summary = "turn a text into a token file",
          .about =
              "Tokenizes a text once, with a model's tokenizer, into a file that --calib and "
              "--corpus take.",
          .usage = {"tokenize --model DIR --corpus FILE --output FILE"},
          .example =
              "bitmill tokenize --model tests/data/books-2M --corpus "
              "tests/data/books/calib.txt --output /tmp/calib.safetensors",
          .positional = "",
          .options = {{"options",
                       {{"model", "DIR", "", "the folder whose tokenizer is used"},
                        {"corpus", "FILE", "", "a text, or JSON lines (.jsonl)"},
                        text_key_option(),
                        {"output", "FILE", "", "the token file, .safetensors"},
                        allow_key_option(),
                        config_option()}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<TokenizeCommand>(settings);
          }};
}

}  // namespace bitmill
