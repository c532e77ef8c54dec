#include "pipeline/folder/shared_corpus.hpp"

#include <algorithm>
#include <vector>

#include "comm/gather.hpp"

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

}  // namespace

void prepare_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                      const std::string& host) {
  once_a_host(comm, host, [&] {
    // Rank 0 also looks whether the texts are still those of an index that is there.
    if (comm.rank() == 0 || !corpus_is_prepared(files, corpus)) prepare_corpus(files, corpus);
  });
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
