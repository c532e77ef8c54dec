#include <fmt/format.h>

#include <array>

#include "base/error.hpp"
#include "cli/commands/command.hpp"
#include "format/export_folder.hpp"
#include "format/packed_folder.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {
namespace {

constexpr int64_t default_shard_bytes = int64_t{5} * 1000 * 1000 * 1000;  // as transformers has it

class ExportCommand : public Command {
 public:
  explicit ExportCommand(const Settings& settings)
      : from_(settings.folder_or("model", "")),
        to_(settings.folder_or("output-dir", "")),
        max_shard_bytes_(settings.bytes_or("max-shard-size", default_shard_bytes)) {
    settings.require({"model", "output-dir"}, "export");
    constexpr std::array<Dtype, 3> dtypes = {Dtype::float16, Dtype::bfloat16, Dtype::float32};
    dtype_ = dtypes[settings.word_or("dtype", {"float16", "bfloat16", "float32"}, 0)];
  }

  void check(const CheckContext& context) override {
    throw_place_problem(result_folder_problem(context.files, "--output-dir", to_));
    BITMILL_CHECK(
        !lies_in(context.files.resolve(to_), context.files.resolve(from_)), UsageError,
        fmt::format("--output-dir {} lies in --model {}; give another folder", to_, from_));
    BITMILL_CHECK(is_packed_folder(context.files, from_), UsageError,
                  fmt::format("{} is not a packed folder; export turns what bitmill quantize made "
                              "into an ordinary one",
                              from_));
    check_partial_place(context.files, to_);
  }

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    verify_packed_folder(context.files, from_, {});
    export_folder(context.files, from_, to_, dtype_, max_shard_bytes_);
    context.console.say(fmt::format("exported {} to {}", from_, to_));
  }

 private:
  const std::string from_;
  const std::string to_;
  const int64_t max_shard_bytes_;
  Dtype dtype_ = Dtype::float16;
};

}  // namespace

CommandEntry export_entry() {
  return {.name = "export",
          .summary = "turn a packed folder into an ordinary Hugging Face folder",
          .about =
              "Unpacks a packed folder into an ordinary Hugging Face folder: the same model, "
              "at 16 or 32 bits per weight. transformers, and llama.cpp's convert_hf_to_gguf.py, "
              "loaded such folders; other tools were not tried.",
          .usage = {"export --model DIR --output-dir DIR [options]"},
          .example = "bitmill export --model /tmp/books-packed --output-dir /tmp/books-exported",
          .positional = "",
          .options = {{"options",
                       {{"model", "DIR", "", "the packed folder"},
                        {"output-dir", "DIR", "", "where it goes; must be empty or not exist"},
                        {"dtype", "float16|bfloat16|float32", "float16",
                         "type of the weights that were packed"},
                        {"max-shard-size", "BYTES", "5GB", "largest tensor file of the result"},
                        config_option()}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<ExportCommand>(settings);
          }};
}

}  // namespace bitmill
