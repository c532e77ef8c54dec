// The body of a request, as any of the four paths that take one reads it. The first byte chooses.

#include "serve/api_request.hpp"
#include "fuzz/target.hpp"
#include "serve/request_error.hpp"

namespace bitmill {
namespace {

// What the rest of the server takes for granted.
void check(const TextRequest& request) {
  const SamplerSettings& sampler = request.sampler;
  bool good = sampler.temperature >= 0 && sampler.top_p > 0 && sampler.top_p <= 1 &&
              sampler.min_p >= 0 && sampler.min_p <= 1 && sampler.top_k >= 0 &&
              sampler.repetition_penalty > 0;
  good = good && request.max_tokens.value_or(1) >= (request.echo ? 0 : 1);
  good = good && request.top_logprobs >= -1 && request.top_logprobs <= 20;
  good = good && (request.chat ? !request.messages.empty() : !request.prompts.empty());
  for (const std::string& stop : request.stop_texts) good = good && !stop.empty();
  for (const Prompt& prompt : request.prompts) {
    const auto* ids = std::get_if<std::vector<int32_t>>(&prompt);
    if (ids == nullptr) continue;
    for (const int32_t id : *ids) good = good && id >= 0;
  }
  if (!good) __builtin_trap();
}

void read(uint8_t kind, std::string_view body) {
  switch (kind % 4) {
    case 0:
      return check(read_completion(body));
    case 1:
      return check(read_chat(body));
    case 2:
      read_tokenize(body);
      return;
    default:
      read_detokenize(body);
  }
}

}  // namespace
}  // namespace bitmill

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  if (size == 0) return 0;
  try {
    read(data[0], fuzz::text_of(data + 1, size - 1));
  } catch (const RequestError& error) {
    if (error.status() < 400 || error.status() > 499) __builtin_trap();
  }
  return 0;
}
