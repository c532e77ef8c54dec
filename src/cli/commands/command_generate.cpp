#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/decoder_job.hpp"
#include "cli/options/generate_options.hpp"
#include "cli/process/broken_pipe.hpp"
#include "cli/report/generate_report.hpp"
#include "data/chat_template.hpp"
#include "data/tokenizer.hpp"
#include "infer/end_tokens.hpp"
#include "infer/generate.hpp"

namespace bitmill {
namespace {

constexpr int64_t longest_prompt = int64_t{1} << 30;  // bytes

// All of standard input. UsageError when it is a terminal: nobody would know that it is waited for.
std::string read_standard_input() {
  BITMILL_CHECK(::isatty(STDIN_FILENO) == 0, UsageError,
                "bitmill generate needs --prompt TEXT or --prompt-file FILE, or a text on standard "
                "input");
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), stdin)) {
    text.append(buffer.data(), count);
    BITMILL_CHECK(std::ssize(text) <= longest_prompt, UsageError,
                  fmt::format("the prompt on standard input is longer than {} bytes; give the "
                              "part that the model is to go on from",
                              longest_prompt));
  }
  BITMILL_CHECK(std::ferror(stdin) == 0, FileError, "standard input could not be read to its end");
  return text;
}

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

class GenerateCommand : public Command {
 public:
  explicit GenerateCommand(GenerateRequest request)
      : request_(std::move(request)), job_("generate", request_.model, request_.products) {}

  void check(const CheckContext& context) override {
    job_.check(context);
    tokenizer_ = open_tokenizer(context.files, request_.model);
    settings_ = {
        .max_tokens = request_.max_tokens,
        .sampler = request_.sampler,
        .end_tokens = read_end_tokens(context.files, request_.model, job_.config().vocab_size),
        .stop_texts = request_.stop_texts,
        .continues_prompt = !request_.chat};
    prompt_ = tokens_of(context.files, read_prompt(context.files));
    check_room();
  }

  void run(RunContext& context) override {
    const BrokenPipeIsAnError broken_pipe;
    job_.load(context);
    const auto session = job_.start_session(positions_, "give a smaller --context");
    Console& console = context.console;
    const bool streams = !request_.json;
    const Generated generated = generate(
        job_.model(), *session, *tokenizer_, prompt_, settings_,
        [&](std::string_view text) {
          if (streams) console.print(text);
        },
        context.pool);
    if (streams && !generated.text.ends_with('\n')) console.print("\n");
    const GenerateFigures figures{.generated = generated,
                                  .kernel = job_.model().kernel(),
                                  .threads = context.pool.size(),
                                  .load_seconds = job_.load_seconds(),
                                  .resident_bytes = job_.model().resident_bytes(),
                                  .cache_bytes = session->cache.bytes(),
                                  .positions = positions_};
    if (request_.json) console.print(json_line(generate_json(request_.model, figures)));
    if (request_.stats) console.say(generate_table(figures));
    if (!request_.stats && generated.finish == Finish::no_room) {
      console.say(no_room_note(figures));
    }
  }

 private:
  std::string read_prompt(Files& files) const {
    if (request_.prompt) return *request_.prompt;
    return without_last_newline(request_.prompt_file
                                    ? read_text(files, *request_.prompt_file, longest_prompt)
                                    : read_standard_input());
  }

  std::vector<int32_t> tokens_of(Files& files, const std::string& prompt) const {
    // A rendered chat has its special tokens already.
    const std::string text = request_.chat ? rendered_chat(files, prompt) : prompt;
    try {
      return tokenizer_->encode(text, /*add_special=*/!request_.chat);
    } catch (const FormatError& error) {
      throw FormatError(fmt::format("the prompt: {}", error.what()));
    }
  }

  std::string rendered_chat(Files& files, const std::string& prompt) const {
    std::vector<ChatMessage> messages;
    if (request_.system) messages.push_back({"system", *request_.system});
    messages.push_back({"user", prompt});
    return read_chat_template(files, request_.model).render(messages, {.asks_for_answer = true});
  }

  void check_room() {
    const ModelConfig& config = job_.config();
    BITMILL_CHECK(request_.context <= config.context, UsageError,
                  fmt::format("--context {} is more than the context of {}, {}", request_.context,
                              request_.model, config.context));
    // What prompt and --max-tokens need, without a sum that could overflow.
    const int64_t wanted = request_.max_tokens < config.context
                               ? std::min(config.context, std::ssize(prompt_) + request_.max_tokens)
                               : config.context;
    positions_ = request_.context > 0 ? request_.context : wanted;
    check_prompt(config, request_.model, prompt_, positions_);
  }

  const GenerateRequest request_;
  DecoderJob job_;
  std::unique_ptr<Tokenizer> tokenizer_;
  GenerateSettings settings_;
  std::vector<int32_t> prompt_;
  int64_t positions_ = 0;
};

}  // namespace

CommandEntry generate_entry() {
  return {.name = "generate",
          .summary = "let a 16-bit or packed model go on from a text",
          .about =
              "Loads a model folder, packed or not, and prints what the model writes after a "
              "prompt, as it comes. A packed folder is computed on its bits.",
          .usage = {"generate --model DIR --prompt TEXT [options]",
                    "generate --model DIR --chat [options] < FILE"},
          .example =
              "bitmill generate --model tests/data/books-2M --prompt \"It was a\" --max-tokens 40 "
              "--stats",
          .positional = "",
          .options = generate_option_groups(),
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<GenerateCommand>(read_generate_request(settings));
          }};
}

}  // namespace bitmill
