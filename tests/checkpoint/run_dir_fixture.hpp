#pragma once
// A run folder in a folder that goes away, and claims on it: the fixture of their tests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"
#include "checkpoint/run_dir.hpp"
#include "temp_folder.hpp"

namespace bitmill {

using namespace std::chrono_literals;

template <class E>
auto throws(const std::string& part) {
  return testing::Throws<E>(testing::Property(&E::what, testing::HasSubstr(part)));
}

inline TensorSource text_tensor(const std::string& name, const std::string& text) {
  return {name, Dtype::uint8, {std::ssize(text)}, [text](const ByteSink& sink) {
            sink(std::as_bytes(std::span(text)));
          }};
}

class RunDirTest : public testing::Test {
 protected:
  std::unique_ptr<Claim> claim(std::chrono::milliseconds stale_after = 0ms) {
    return Claim::take(*files_, path_, this_process("n1", "88"), {stale_after, 5ms},
                       [&](const std::string& text) { said_.push_back(text); });
  }
  std::string text(const std::string& name) const { return folder_.read("work/" + name); }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const std::string path_ = folder_ / "work";
  const RunRecord record_{R"({"lag":5})", {"cpu"}};
  std::vector<std::string> said_;
};

}  // namespace bitmill
