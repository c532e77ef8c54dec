#pragma once
// Runs the program on the bundled model: the fixture of the tests of the program itself.
// BITMILL_SOURCE_DIR is defined only for a source that names it (BitmillLayers.cmake).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {

inline const std::string books = BITMILL_SOURCE_DIR "/tests/data/books-2M";
inline const std::string calib = BITMILL_SOURCE_DIR "/tests/data/books/calib.txt";

class Program : public testing::Test {
 protected:
  ProgramRun run(const std::string& words) const { return run_program_in(folder_, "", words); }
  // A quantize of the bundled model that would work, with `words` added.
  ProgramRun quantize(const std::string& words) const {
    return run("quantize --model " + books + " --calib " + calib + " --output-dir " +
               folder_ / "result" + " " + words);
  }
  void expect_usage_error(const ProgramRun& result, const std::string& message) const {
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, testing::StartsWith("bitmill: error: "));
    EXPECT_THAT(result.err, testing::HasSubstr(message));
    EXPECT_EQ(result.out, "");
  }

  TempFolder folder_;
};

}  // namespace bitmill
