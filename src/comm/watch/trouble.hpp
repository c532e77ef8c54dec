#pragma once
// Why a watchdog ends a job: its verdict, and what every rank did last. Data only.

#include <cstdint>
#include <string>
#include <vector>

namespace bitmill {

// What a rank tells about itself in every beat.
struct RankSample {
  uint64_t progress = 0;  // changes whenever the rank has done anything
  std::string activity;   // "block 3, train, epoch 4"
  // "receive from rank 2", "waiting for a note from rank 2" while it waits for others; else empty
  std::string call;
};

enum class TroubleKind {
  lost,    // a connection ended without a goodbye: the process is gone
  silent,  // no beat for the timeout: the process is stopped, or its host or network is gone
  stuck,   // beats arrive, but no rank has done anything for the timeout
  failed,  // a rank announced its failure, and the job did not end by itself
};

struct RankReport {
  int rank = 0;
  std::string host;
  RankSample last;
  double heard_s = 0;  // seconds since its last beat
  double still_s = 0;  // seconds since its progress changed
};

struct Trouble {
  TroubleKind kind = TroubleKind::lost;
  int judge = 0;  // the rank that decided
  // That are lost, silent or failed; stuck: ranks that do not wait for others, or all ranks when
  // all of them wait.
  std::vector<int> ranks;
  double seconds = 0;  // since the first of them was last heard of, or since any rank moved
  int exit_code = 0;   // of the announced failure
  std::vector<RankReport> reports;  // of every rank that the judge heard, itself included
};

}  // namespace bitmill
