#include "comm/gather.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "comm/call_check.hpp"

namespace bitmill {

void check_gathered(const Communicator& comm, size_t rank, size_t bytes, size_t value_bytes,
                    bool one) {
  const bool fits = one ? bytes == value_bytes : bytes % value_bytes == 0;
  BITMILL_CHECK(
      fits, CommError,
      fmt::format("{}: {} bytes of rank {} where {} of {} bytes were expected; do all ranks run "
                  "the same bitmill, and the same collective calls?",
                  describe_call(comm, "gather"), bytes, comm.job_rank(static_cast<int>(rank)),
                  one ? "one value" : "whole values", value_bytes));
}

std::vector<std::string> gather_texts(Communicator& comm, std::string_view mine) {
  std::vector<std::string> all;
  for (const std::vector<std::byte>& bytes :
       gather_everywhere(comm, std::as_bytes(std::span(mine)))) {
    all.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return all;
}

}  // namespace bitmill
