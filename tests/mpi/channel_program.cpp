// The contract of channels under a real mpirun: both forms, on messages of one call and of several.
// Exit code 0, or the job is aborted.

#include <cstdio>
#include <functional>
#include <memory>

#include "base/error.hpp"
#include "channel/agreed_form.hpp"
#include "channel/channel_contract.hpp"
#include "channel/direct_mover.hpp"
#include "channel/host_form.hpp"
#include "comm/mpi_session.hpp"

namespace bitmill {
namespace {

using MakeForm = std::function<std::unique_ptr<Form>()>;

void run_rules(Communicator& comm, const char* title, const MakeForm& make_form) {
  for (const channel_contract::Rule& rule : channel_contract::rules) {
    if (comm.rank() == 0) std::printf("%s: %s\n", title, rule.name);
    std::fflush(stdout);
    Channel channel(make_form());
    rule.body({comm, channel});
    comm.barrier();
  }
}

void run_forms(Communicator& comm) {
  const auto words = comm.split(0), data = comm.split(0);
  run_rules(comm, "host", [&] { return std::make_unique<HostForm>(*data); });
  run_rules(comm, "agreed", [&] {
    return std::make_unique<AgreedForm>(*words, std::make_unique<DirectMover>(*data, nullptr));
  });
}

int run() {
  MpiSession session;
  try {
    run_forms(*session.world());
    run_forms(*session.world(65521));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    MpiSession::abort(1);
  }
}

}  // namespace
}  // namespace bitmill

int main() { return bitmill::run(); }
