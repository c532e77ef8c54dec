#include "cli/process/shared_memory.hpp"

#include <fmt/format.h>

#include <charconv>

#include "base/error.hpp"

namespace bitmill {
namespace {

// The default of btl_vader_segment_size in Open MPI 4: a segment for each rank, from which all its
// messages to ranks of the same host are taken.
constexpr int64_t usual_vader_segment = int64_t{4} << 20;

int64_t variable_number(const Environment& environment, const char* name, int64_t otherwise) {
  const std::string text = environment(name).value_or("");
  int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// A list of components, as in OMPI_MCA_btl: "vader,self", or "^vader" for all others.
bool list_allows(const std::optional<std::string>& list, const std::string& component) {
  if (!list || list->empty()) return true;
  const bool named = list->find(component) != std::string::npos;
  return list->starts_with("^") ? !named : named;
}

}  // namespace

std::optional<SharedMemoryNeed> shared_memory_need(const Environment& environment,
                                                   const std::string& library) {
  const auto ranks =
      static_cast<int>(variable_number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", 1));
  const bool first = variable_number(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0) == 0;
  const bool uses_it = library.starts_with("Open MPI v4") &&
                       list_allows(environment("OMPI_MCA_btl"), "vader") &&
                       list_allows(environment("OMPI_MCA_pml"), "ob1");
  if (ranks < 2 || !first || !uses_it) return std::nullopt;
  return SharedMemoryNeed{
      environment("OMPI_MCA_btl_vader_backing_directory").value_or("/dev/shm"), ranks,
      ranks * variable_number(environment, "OMPI_MCA_btl_vader_segment_size", usual_vader_segment)};
}

void check_shared_memory(const std::optional<SharedMemoryNeed>& need, Files& files) {
  if (!need || !files.exists(need->folder)) return;  // Open MPI finds another way, and says so
  const int64_t free = files.free_bytes(need->folder);
  BITMILL_CHECK(
      free >= need->bytes, UsageError,
      fmt::format("{} on {} has {} bytes free, and the {} ranks there may need {} for the shared "
                  "memory of Open MPI: a rank that finds none left is killed in the middle of the "
                  "work (bus error). Make room there (in a container: a larger /dev/shm, as docker "
                  "run --shm-size), or set OMPI_MCA_btl_vader_backing_directory to a folder with "
                  "more room; launch/bitmill-mpirun looks for one in TMPDIR",
                  need->folder, host_name(), free, need->ranks, need->bytes));
}

}  // namespace bitmill
