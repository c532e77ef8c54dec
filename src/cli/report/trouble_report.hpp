#pragma once
// What people and scripts get when a watchdog ends the job.

#include <string>

#include "comm/watch/trouble.hpp"

namespace bitmill {

// Several lines: which rank is in trouble, what it did last, what every rank did, and what to do
// now. `keeps_work`: the job has a work folder.
std::string describe_trouble(const Trouble& trouble, bool keeps_work);

// One JSON object: `kind` (lost, silent, stuck, failed), `judge`, `blamed` (ranks), `seconds`,
// `exit_code` (only with failed), and `ranks`: [{`rank`, `host`, `activity`, `call`, `heard_s`,
// `still_s`}]. The last two are seconds before the verdict: since the last beat of the rank, and
// since it last did anything.
std::string trouble_json(const Trouble& trouble);

}  // namespace bitmill
