#include "backend/backend.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace bitmill {

std::unique_ptr<Backend> make_backend(const std::string& name) {
  if (name == "reference") return reference_backend();
  if (name == "cpu") return cpu_backend();
  if (name == "cuda" || name == "auto") {
    throw UsageError(fmt::format("--backend {} is not there yet: choose cpu or reference", name));
  }
  throw UsageError(fmt::format("there is no backend \"{}\": choose cpu or reference", name));
}

}  // namespace bitmill
