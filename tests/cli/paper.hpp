#pragma once
// A stream whose text can be read back.

#include <cstdio>
#include <string>

namespace bitmill {

class Paper {
 public:
  Paper() : file_(std::tmpfile()) {}
  ~Paper() { std::fclose(file_); }
  Paper(const Paper&) = delete;
  Paper& operator=(const Paper&) = delete;

  std::FILE* file() { return file_; }
  std::string text() {
    std::string all;
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) all += static_cast<char>(c);
    return all;
  }

 private:
  std::FILE* file_;
};

}  // namespace bitmill
