#include "backend/backend.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace bitmill {

std::unique_ptr<Backend> make_backend(const std::string& name) {
  if (name == "reference") return reference_backend();
  if (name == "cpu") return cpu_backend();
  if (name == "cuda") {
    throw UsageError("the cuda backend is not built yet: use --backend cpu");
  }
  throw UsageError(fmt::format("there is no backend \"{}\": choose cpu or reference", name));
}

}  // namespace bitmill
