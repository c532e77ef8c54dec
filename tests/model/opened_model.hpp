#pragma once
// A fixture with a small model that a test changes, writes and opens.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "format/safetensors_writer.hpp"
#include "model/source_model.hpp"
#include "model/tiny_model.hpp"

namespace bitmill::test {

inline TensorSource& source_of(std::vector<TensorSource>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &TensorSource::name);
}

inline void drop(std::vector<TensorSource>& tensors, const std::string& name) {
  ASSERT_EQ(std::erase_if(tensors, [&](const auto& t) { return t.name == name; }), 1);
}

class OpenedModel : public testing::Test {
 protected:
  SourceModel open() {
    write_model(*files_, folder_.path(), config_, tensors_);
    return SourceModel(*files_, folder_.path());
  }
  std::string refusal() {
    try {
      open();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "accepted";
  }

  const ScratchFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  nlohmann::json config_ = tiny_config();
  std::vector<TensorSource> tensors_ = tiny_tensors(config_);
};

}  // namespace bitmill::test
