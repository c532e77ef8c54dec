#include "base/host_name.hpp"

#include <unistd.h>

#include <array>

namespace bitmill {

std::string host_name() {
  std::array<char, 256> name = {};  // POSIX allows 255
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

}  // namespace bitmill
