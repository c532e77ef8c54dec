#include "cli/options/shared_options.hpp"

#include "backend/backend.hpp"

namespace bitmill {

Option config_option() {
  return {"config", "FILE", "",
          "read options from a section named after the command; the command line wins"};
}

Option threads_option() {
  return {"threads", "N", "the processors of this rank, divided among the ranks that share them",
          "threads of one rank; changes the speed, never the result"};
}

Option timeout_option() {
  return {"timeout", "TIME", "300",
          "end the job when a rank is silent, or no rank makes progress, for this long: seconds, "
          "or as 5m or 00:05:00; 0: never"};
}

Option json_option(const std::string& what) {
  return {"json", "", "", "print " + what + " as one JSON object on standard output"};
}

Option backend_option() {
  return {"backend", "cpu|reference", "cpu",
          "the code that computes; reference is simple and slow"};
}

std::string read_backend(const Settings& settings, const std::string& normal) {
  const std::string name = settings.text_or("backend", normal);
  make_backend(name);  // throws the error for a wrong name
  return name;
}

}  // namespace bitmill
