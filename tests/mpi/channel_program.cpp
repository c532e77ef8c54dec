// The contract of channels under a real mpirun. Exit code 0, or the job is aborted.
//
//   channel_program         through the host: both forms, on messages of one call and of several
//   channel_program nccl    from GPU to GPU; every rank takes the GPU of its number on the host
//   channel_program late    the same with a patience of a second; 7 where a peer was given up

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "channel/agreed_form.hpp"
#include "channel/channel_contract.hpp"
#include "channel/direct_mover.hpp"
#include "channel/host_form.hpp"
#include "channel/nccl.hpp"
#include "comm/mpi_session.hpp"
#include "device/device.hpp"

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

void run_nccl(Communicator& comm, int host_rank, NcclPatience patience) {
  ThreadPool pool(1);
  const auto devices = static_cast<int>(find_cuda_devices().devices.size());
  const auto device = cuda_device({host_rank % std::max(1, devices), at::kFloat}, pool);
  const auto words = comm.split(0);
  run_rules(comm, "nccl", [&] { return nccl_form(*words, *device, patience); });
}

int run(const std::string& mode) {
  MpiSession session;
  try {
    if (mode == "nccl" || mode == "late") {
      run_nccl(*session.world(), session.host_rank(), {mode == "late" ? 1.0 : 150.0});
      return 0;
    }
    run_forms(*session.world());
    run_forms(*session.world(65521));
    return 0;
  } catch (const PeerLostError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    MpiSession::abort(7);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    MpiSession::abort(1);
  }
}

}  // namespace
}  // namespace bitmill

int main(int argc, char** argv) { return bitmill::run(argc > 1 ? argv[1] : ""); }
