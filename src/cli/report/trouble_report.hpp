#pragma once
// What people and scripts are told when a watchdog ends the job.

#include <string>

#include "comm/watch/trouble.hpp"

namespace bitmill {

// Several lines: who is in trouble, where it was, what everybody did, and what to do now.
std::string describe_trouble(const Trouble& trouble);

// One JSON object: `kind` (lost, silent, stuck), `judge`, `blamed` (ranks), `seconds`, and `ranks`:
// [{`rank`, `host`, `activity`, `call`, `heard_s`, `still_s`}], the last two in seconds before the
// verdict: since the rank's last beat, and since it last did anything.
std::string trouble_json(const Trouble& trouble);

}  // namespace bitmill
