// The communicator contract under a real mpirun, and how a job ends when a rank fails.
//
//   communicator_program contract          every rule; exit code 0
//   communicator_program abort             one rank reports an error and aborts; the job returns 7
//   communicator_program unwind            an error leaves the session's scope first; the same
//   communicator_program stuck             a rank never comes to a barrier; the watchdogs end the
//                                          job with 75
//
// No test framework: every rank is one of these processes, and one that fails must end the job.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator_contract.hpp"
#include "comm/mpi_session.hpp"
#include "comm/watch/watchdog.hpp"
#include "comm/watch/watched_communicator.hpp"

namespace bitmill {
namespace {

constexpr int abort_code = 7;
constexpr int stuck_code = 75;

void run_rules(Communicator& comm, const char* title) {
  for (const comm_contract::Rule& rule : comm_contract::rules) {
    if (comm.rank() == 0) std::printf("%s: %s\n", title, rule.name);
    std::fflush(stdout);
    rule.body(comm);
    comm.barrier();
  }
}

// One host runs all ranks of these tests.
void check_host(const MpiSession& session, const Communicator& comm) {
  comm_contract::require(comm, session.host_ranks() == comm.size(), "all ranks share this host");
  comm_contract::require(comm, session.host_rank() == comm.rank(), "places on the host are ranks");
}

void check_second_session_is_refused(const std::string& word) {
  try {
    MpiSession second;
  } catch (const CommError& error) {
    if (std::string(error.what()).find(word) != std::string::npos) return;
    throw;
  }
  throw comm_contract::ContractBroken("a second MpiSession was taken");
}

// Two worlds do not hear each other's messages.
void check_worlds_are_separate(Communicator& one, Communicator& other) {
  if (one.size() == 1) return;
  if (one.rank() == 0) {
    one.send(comm_contract::letter(0, 1, 10), 1);
    other.send(comm_contract::letter(0, 2, 20), 1);
  } else if (one.rank() == 1) {
    std::vector<std::byte> early(10), late(20);
    other.receive(late, 0);
    one.receive(early, 0);
    comm_contract::require(one, comm_contract::is_letter(early, 0, 1), "the first world's message");
    comm_contract::require(one, comm_contract::is_letter(late, 0, 2), "the second world's message");
  }
}

void contract() {
  {
    MpiSession session;
    check_second_session_is_refused("initialised");
    const auto comm = session.world();
    check_host(session, *comm);
    run_rules(*comm, "one call a message");
    // Messages longer than an int can count are cut; small pieces show the same seams.
    const auto pieces = session.world(65521);
    check_worlds_are_separate(*comm, *pieces);
    run_rules(*pieces, "pieces of 65521 bytes");
  }
  check_second_session_is_refused("finalized");
}

// The last rank fails while the others wait for it.
void fail_or_wait(Communicator& comm) {
  if (comm.rank() == comm.size() - 1) throw FormatError("this rank's shard is damaged");
  std::array<std::byte, 1> data;
  if (comm.rank() == 0) comm.receive(data, comm.size() - 1);
  comm.barrier();
}

[[noreturn]] void report_and_abort(const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  MpiSession::abort(abort_code);
}

void abort_inside() {
  MpiSession session;
  try {
    const auto comm = session.world();
    fail_or_wait(*comm);
  } catch (const Error& error) {
    report_and_abort(error);
  }
}

void unwind() {
  MpiSession session;
  const auto comm = session.world();
  fail_or_wait(*comm);
}

// The last rank never comes to the barrier; MPI has no thread to spare, and needs none.
void wait_forever() {
  MpiSession session;
  const auto world = session.world();
  WatchedCommunicator comm(*world);
  const int absent = comm.size() - 1;
  const auto report = [absent](const Trouble& trouble) {
    const bool right = trouble.kind == TroubleKind::stuck && trouble.ranks == std::vector{absent} &&
                       trouble.reports[0].last.call == "barrier";
    if (!right) MpiSession::abort(abort_code);
  };
  const Watchdog watchdog(*world, {.timeout = 2, .interval = 0.1}, "host",
                          {[&] {
                             return RankSample{comm.calls_done(), "", comm.call_under_way()};
                           },
                           report, [](const Trouble&) { ::_exit(stuck_code); }});
  if (comm.rank() == absent) std::this_thread::sleep_for(std::chrono::hours(1));
  comm.barrier();
}

int run(const std::string& mode) {
  try {
    if (mode == "contract") return contract(), 0;
    if (mode == "abort") return abort_inside(), 0;
    if (mode == "unwind") return unwind(), 0;
    if (mode == "stuck") return wait_forever(), 0;
  } catch (const Error& error) {
    report_and_abort(error);
  }
  std::fprintf(stderr, "contract, abort, unwind or stuck?\n");
  return 2;
}

}  // namespace
}  // namespace bitmill

int main(int argc, char** argv) { return bitmill::run(argc > 1 ? argv[1] : ""); }
