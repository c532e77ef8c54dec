#pragma once
// The index of a corpus, made once for all ranks that see it.

#include <string>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "data/training_corpus.hpp"

namespace bitmill {

// Collective, on `host` each. Where all ranks see one scratch folder, rank 0 prepares the corpus
// and the others find it. Where a host has a folder of its own, its first rank does it there.
void prepare_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                      const std::string& host);

// Collective. Removes what prepare_together() made, and the folder where nothing else is in it.
void remove_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                     const std::string& host);

}  // namespace bitmill
