#include "cli/report/table.hpp"

#include <algorithm>
#include <cassert>

#include "data/utf8.hpp"

namespace bitmill {
namespace {

constexpr const char* between_columns = "  ";

}  // namespace

size_t display_width(const std::string& text) {
  return static_cast<size_t>(count_utf8_chars(text));
}

void Table::add_row(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  if (std::ranges::any_of(titles, [](const std::string& t) { return !t.empty(); })) {
    lines.push_back(titles);
  }
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::vector<size_t> widths(columns_.size(), 0);
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c)
      widths[c] = std::max(widths[c], display_width(line[c]));
  }

  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (size_t c = 0; c < line.size(); ++c) {
      const std::string padding(widths[c] - display_width(line[c]), ' ');
      if (c > 0) row += between_columns;
      row += columns_[c].align == Align::right ? padding + line[c] : line[c] + padding;
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

}  // namespace bitmill
