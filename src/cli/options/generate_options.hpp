#pragma once
// The options of generate.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options/infer_options.hpp"
#include "infer/sampler.hpp"

namespace bitmill {

struct GenerateRequest {
  std::string model;
  std::optional<std::string> prompt;       // given as a text
  std::optional<std::string> prompt_file;  // given as a file; neither: standard input
  bool chat = false;
  std::optional<std::string> system;  // only with chat
  int64_t max_tokens = 0;
  int64_t context = 0;  // 0: what prompt and max_tokens need
  SamplerSettings sampler;
  std::vector<std::string> stop_texts;
  ProductChoice products;
  bool stats = false;
  bool json = false;
};

OptionGroups generate_option_groups();
// UsageError naming option, value and what is expected.
GenerateRequest read_generate_request(const Settings& settings);

}  // namespace bitmill
