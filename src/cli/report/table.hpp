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

  // When no column has a title, the table has no heading.
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell per column.
  void add_row(std::vector<std::string> cells);
  // Every line ends with a newline, without blanks before the newline.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Number of terminal columns of a UTF-8 text whose characters are all narrow.
size_t display_width(const std::string& text);

}  // namespace bitmill
