#pragma once
// The ids that a post-processor puts before and behind those of one text, such as a BOS and an EOS.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace bitmill {

class SequenceTemplate {
 public:
  // The "post_processor" of a tokenizer.json, or null. FormatError for what is not supported.
  SequenceTemplate(const nlohmann::json& post_processor, const std::string& file);

  SequenceTemplate(std::vector<int32_t> before, std::vector<int32_t> after);

  const std::vector<int32_t>& before() const { return before_; }
  const std::vector<int32_t>& after() const { return after_; }
  int32_t largest_id() const;  // -1: none

 private:
  void read(const nlohmann::json& leaf, const std::string& where);

  std::vector<int32_t> before_;
  std::vector<int32_t> after_;
};

}  // namespace bitmill
