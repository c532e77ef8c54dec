#include "cli/options/backend_option.hpp"

#include "backend/backend.hpp"

namespace bitmill {

Option backend_option() {
  return {"backend", "cpu|reference", "cpu", "who computes; reference is plain and slow"};
}

std::string read_backend(const Settings& settings, const std::string& normal) {
  const std::string name = settings.text_or("backend", normal);
  make_backend(name);  // says what is wrong with it
  return name;
}

}  // namespace bitmill
