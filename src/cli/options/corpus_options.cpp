#include "cli/options/corpus_options.hpp"

#include <fmt/format.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"

namespace bitmill {

Option text_key_option() {
  return {"text-key", "KEY", "text",
          "the key of the text, or of a chat's messages, in the objects of JSON lines"};
}

Option window_bos_option() {
  return {"window-bos", "off|on|auto", "off",
          "put the token that the tokenizer adds before a text (BOS) first in every window; auto: "
          "where it adds one"};
}

Option shuffle_seed_option() {
  return {"shuffle-seed", "N", "the order in which they come",
          "decides the order of the windows that are trained on, drawn or ready ones: the same "
          "windows in another order give another result of the same kind"};
}

ExactRatio read_held_out(const Settings& settings, const ExactRatio& normal) {
  try {
    return ExactRatio::parse(settings.text_or("held-out", normal.text()));
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}: {}", settings.origin("held-out"), error.what()));
  }
}

std::string corpus_folder(Files& files, const std::string& work_dir,
                          const std::string& scratch_dir) {
  if (scratch_dir == work_dir) return work_dir + "-corpus";
  const std::string path = files.resolve(work_dir);
  return join_path(scratch_dir, "corpus-" + hash_hex(std::as_bytes(std::span(path))));
}

WindowBos read_window_bos(const Settings& settings) {
  constexpr std::array choices = {WindowBos::off, WindowBos::on, WindowBos::automatic};
  std::vector<std::string> words;
  for (const WindowBos choice : choices) words.emplace_back(word_of(choice));
  return choices[settings.word_or("window-bos", words, 0)];
}

}  // namespace bitmill
