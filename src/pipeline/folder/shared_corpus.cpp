#include "pipeline/folder/shared_corpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

// Collective. Calls task() on rank 0 and then, when it is done there, on the first rank of every
// other host. Returns when all are done.
template <class Task>
void once_a_host(Communicator& comm, const std::string& host, const Task& task) {
  const std::vector<std::string> hosts = gather_texts(comm, host);
  const bool is_first = std::ranges::find(hosts, host) - hosts.begin() == comm.rank();
  if (comm.rank() == 0) task();
  comm.barrier();
  if (is_first && comm.rank() != 0) task();
  comm.barrier();
}

// Why the work should end here; empty: it should not.
std::string wish_to_stop(const StopWishes& wishes) {
  const std::string asked = wishes.asked();
  if (!asked.empty()) return asked;
  const bool is_late = wishes.deadline && std::chrono::steady_clock::now() >= *wishes.deadline;
  return is_late ? "the time limit" : "";
}

}  // namespace

void prepare_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                      const RunControl& control) {
  std::string stopped;
  const auto listen = [&](int64_t) {
    const std::string wish = wish_to_stop(control.wishes);
    if (!wish.empty()) throw StopError(wish);
  };
  once_a_host(comm, control.host, [&] {
    try {
      // Rank 0 also looks whether the texts are still those of an index that is there.
      if (comm.rank() == 0 || !corpus_is_prepared(files, corpus)) {
        prepare_corpus(files, corpus, listen);
      }
    } catch (const StopError& stop) {
      stopped = stop.what();
    }
  });
  for (const std::string& why : gather_texts(comm, stopped)) {
    if (why.empty()) continue;
    throw AgreedStop(
        fmt::format("{}: stopped while the corpus was indexed; the next start begins "
                    "to index anew. {}",
                    why, control.wishes.after_deadline));
  }
}

void remove_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                     const std::string& host) {
  once_a_host(comm, host, [&] {
    remove_prepared_corpus(files, corpus);
    const std::string& folder = corpus.scratch_dir;
    if (files.is_directory(folder) && files.list(folder).empty()) files.remove_tree(folder);
  });
}

}  // namespace bitmill
