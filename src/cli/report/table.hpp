#pragma once
// Columns of text for people.

#include <cstddef>
#include <string>
#include <vector>

namespace bitmill {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::right;
  };

  // Columns without any title make a table without a heading.
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell per column.
  void add_row(std::vector<std::string> cells);
  // Every line ends with a newline and has no blanks before it.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a terminal needs for UTF-8 text of narrow characters.
size_t display_width(const std::string& text);

}  // namespace bitmill
