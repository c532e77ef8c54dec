#pragma once
// The index of a corpus, made once for all ranks that see it.

#include <string>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "data/training_corpus.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// Collective. Where all ranks see one scratch folder, rank 0 prepares the corpus and the others
// find it. Where a host has a folder of its own, its first rank does it there. AgreedStop on every
// rank where a rank that prepares is asked to stop, or its deadline has come: what is unfinished is
// gone.
void prepare_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                      const RunControl& control);

// Collective, on `host` each. Removes what prepare_together() made, and the folder where nothing
// else is in it.
void remove_together(Files& files, const CorpusOptions& corpus, Communicator& comm,
                     const std::string& host);

}  // namespace bitmill
