#include "cli/commands/help.hpp"

#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>

#include "cli/commands/command_table.hpp"
#include "cli/report/table.hpp"
#include "format/packed_layout.hpp"
#include "product/cpu_kernel.hpp"

namespace bitmill {
namespace {

constexpr size_t line_width = 100;

// `text` broken at blanks into lines of at most `width`, joined with a newline and `indent` blanks.
std::string wrap(const std::string& text, size_t width, size_t indent) {
  std::string result;
  size_t used = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (used > 0 && used + 1 + display_width(word) > width) {
      result += '\n';
      result.append(indent, ' ');
      used = 0;
    } else if (used > 0) {
      result += " ";
      ++used;
    }
    result += word;
    used += display_width(word);
    at = end + 1;
  }
  return result;
}

std::string option_head(const Option& option) {
  return option.value.empty() ? fmt::format("--{}", option.name)
                              : fmt::format("--{} {}", option.name, option.value);
}

size_t widest_head(const OptionGroups& groups) {
  size_t width = 0;
  for (const OptionGroup& group : groups) {
    for (const Option& option : group.options) width = std::max(width, option_head(option).size());
  }
  return width;
}

}  // namespace

std::string help_overview() {
  std::string text =
      "bitmill turns a 16-bit Hugging Face language model into a packed one of about 1.6 bits per\n"
      "weight (PTQ1.61). It runs on one core or, under mpirun or srun, on many; the result has\n"
      "the same bytes.\n\n"
      "usage: bitmill COMMAND [options]\n\n";
  Table commands({{"", Table::Align::left}, {"", Table::Align::left}});
  for (const CommandEntry& entry : command_table()) {
    commands.add_row({fmt::format("  {}", entry.name), entry.summary});
  }
  commands.add_row({"  help", "this page, or the page of a command: bitmill help quantize"});
  text += commands.text();
  text += fmt::format("\na first example:\n  {}\n", command_table().front().example);
  return text;
}

std::string help_of(const CommandEntry& entry) {
  std::string text = fmt::format("{}\n\n", wrap(entry.about, line_width, 0));
  for (size_t i = 0; i < entry.usage.size(); ++i) {
    text += fmt::format("{} bitmill {}\n", i == 0 ? "usage:" : "      ", entry.usage[i]);
  }
  text += fmt::format("\nexample:\n  {}\n", entry.example);
  const size_t column = widest_head(entry.options) + 4;
  for (const OptionGroup& group : entry.options) {
    text += fmt::format("\n{}:\n", group.title);
    for (const Option& option : group.options) {
      const std::string normal =
          option.normal.empty() ? "" : fmt::format(" (default: {})", option.normal);
      text += fmt::format("  {:<{}}{}\n", option_head(option), column - 2,
                          wrap(option.help + normal, line_width - column, column));
    }
  }
  return text;
}

std::string version_text() {
  return fmt::format("bitmill {}\npacked format {}, libtorch {}, CPU kernel {}\n", BITMILL_VERSION,
                     packed::format_version, TORCH_VERSION, choose_cpu_kernel("auto").name);
}

}  // namespace bitmill
