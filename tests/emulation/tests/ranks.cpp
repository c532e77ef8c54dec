// One rank of a small NCCL program, each in a process of its own:
//
//   ranks CASE RANK COUNT FILE     rank 0 writes the unique id to FILE, the others read it there
//   ranks CASE                     under mpirun, which carries the id
//
// Every wait has a deadline and looks at the communicator, as a program that wants to survive must.
// Exit status 0: values right. 3: values wrong. 4: the deadline passed. 5: ncclInvalidUsage.
// 6: ncclRemoteError. 7: a call was refused with ncclInvalidArgument. 1: anything else.

#include <cuda_runtime_api.h>
#include <mpi.h>
#include <nccl.h>
#include <stdio.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t count_of = 1 << 16;
constexpr int right = 0, other = 1, wrong = 3, late = 4, usage = 5, remote = 6, refused = 7;
constexpr auto deadline = std::chrono::milliseconds(3000);

struct Ended {
  int status;
};

int status_of(ncclResult_t result) {
  switch (result) {
    case ncclInvalidUsage:
      return usage;
    case ncclRemoteError:
      return remote;
    case ncclInvalidArgument:
      return refused;
    default:
      return other;
  }
}

void nccl(ncclResult_t result) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  std::printf("%s\n", ncclGetErrorString(result));
  throw Ended{status_of(result)};
}
void cuda(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::printf("%s\n", cudaGetErrorName(error));
  throw Ended{other};
}

class Rank {
 public:
  Rank(int rank, int count, const ncclUniqueId& id) : rank_(rank), count_(count) {
    const char* const own_device = std::getenv("RANKS_DEVICE");
    cuda(cudaSetDevice(own_device == nullptr ? rank : std::atoi(own_device)));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    nccl(ncclCommInitRankConfig(&comm_, count, id, rank, &config));
    settle();
    cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    for (float** memory : {&out_, &in_}) {
      cuda(cudaMalloc(reinterpret_cast<void**>(memory), count_of * sizeof(float)));
    }
    const std::vector<float> values(count_of, static_cast<float>(rank + 1));
    cuda(cudaMemcpy(out_, values.data(), count_of * sizeof(float), cudaMemcpyHostToDevice));
    cuda(cudaDeviceSynchronize());
  }

  // The communicator's part of a careful wait.
  void settle() const {
    for (const auto begin = Clock::now();;) {
      ncclResult_t state = ncclSuccess;
      nccl(ncclCommGetAsyncError(comm_, &state));
      if (state != ncclInProgress) return nccl(state);
      if (Clock::now() - begin > 3 * deadline) throw Ended{late};
      usleep(500);
    }
  }

  void wait() const {
    for (const auto begin = Clock::now();;) {
      const cudaError_t state = cudaStreamQuery(stream_);
      if (state == cudaSuccess) return;
      if (state != cudaErrorNotReady) cuda(state);
      ncclResult_t error = ncclSuccess;
      nccl(ncclCommGetAsyncError(comm_, &error));
      nccl(error);
      if (Clock::now() - begin > deadline) throw Ended{late};
      usleep(500);
    }
  }

  // Round the ring, three times.
  void exchange(bool grouped, size_t sent) {
    const int next = (rank_ + 1) % count_, before = (rank_ + count_ - 1) % count_;
    const char* const pause = std::getenv("RANKS_PAUSE_MS");
    for (int round = 0; round < 3; ++round) {
      if (pause != nullptr) usleep(static_cast<useconds_t>(std::atoi(pause)) * 1000);
      if (grouped) nccl(ncclGroupStart());
      nccl(ncclSend(out_, sent, ncclFloat32, next, comm_, stream_));
      if (!grouped) settle();
      nccl(ncclRecv(in_, count_of, ncclFloat32, before, comm_, stream_));
      if (grouped) nccl(ncclGroupEnd());
      settle();
      wait();
    }
    std::vector<float> back(count_of);
    cuda(cudaMemcpy(back.data(), in_, count_of * sizeof(float), cudaMemcpyDeviceToHost));
    for (const float value : back) {
      if (value != static_cast<float>(before + 1)) throw Ended{wrong};
    }
  }

  void send_from_pageable_memory() {
    std::vector<float> pageable(count_of);
    nccl(ncclSend(pageable.data(), count_of, ncclFloat32, (rank_ + 1) % count_, comm_, stream_));
  }

  // The second operation is asked for before it is known that the first has begun.
  void hurry() {
    nccl(ncclSend(out_, count_of, ncclFloat32, (rank_ + 1) % count_, comm_, stream_));
    nccl(ncclRecv(in_, count_of, ncclFloat32, (rank_ + count_ - 1) % count_, comm_, stream_));
  }

  // Also after an error: the stream must be usable again.
  void end(bool clean) {
    nccl(clean ? ncclCommDestroy(comm_) : ncclCommAbort(comm_));
    cuda(cudaStreamSynchronize(stream_));
    cuda(cudaMemsetAsync(in_, 0, 4, stream_));
    cuda(cudaStreamSynchronize(stream_));
  }

 private:
  int rank_, count_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  float *out_ = nullptr, *in_ = nullptr;
};

int run(const std::string& what, int rank, int count, const ncclUniqueId& id) {
  try {
    Rank self(rank, count, id);
    int status = right;
    try {
      if (what == "ring")
        self.exchange(true, count_of);
      else if (what == "ungrouped")
        self.exchange(false, count_of);
      else if (what == "mismatch")
        self.exchange(true, rank == 0 ? count_of / 2 : count_of);
      else if (what == "pageable")
        self.send_from_pageable_memory();
      else if (what == "hurry")
        self.hurry();
      else
        return 2;
    } catch (const Ended& ended) {
      status = ended.status;
    }
    self.end(status == right);
    return status;
  } catch (const Ended& ended) {
    return ended.status;
  }
}

ncclUniqueId id_through(const std::string& file, int rank) {
  ncclUniqueId id;
  if (rank == 0) {
    nccl(ncclGetUniqueId(&id));
    std::ofstream(file + ".new", std::ios::binary).write(id.internal, sizeof(id));
    std::rename((file + ".new").c_str(), file.c_str());
    return id;
  }
  for (const auto begin = Clock::now(); Clock::now() - begin < 5 * deadline; usleep(2000)) {
    std::ifstream stream(file, std::ios::binary);
    if (stream.read(id.internal, sizeof(id))) return id;
  }
  throw Ended{late};
}

int run_under_mpi(const std::string& what) {
  MPI_Init(nullptr, nullptr);
  int rank = 0, count = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  ncclUniqueId id;
  if (rank == 0) nccl(ncclGetUniqueId(&id));
  MPI_Bcast(&id, sizeof(id), MPI_BYTE, 0, MPI_COMM_WORLD);
  const int status = run(what, rank, count, id);
  MPI_Finalize();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return run_under_mpi(argv[1]);
  if (argc != 5) return 2;
  const int rank = std::atoi(argv[2]);
  try {
    return run(argv[1], rank, std::atoi(argv[3]), id_through(argv[4], rank));
  } catch (const Ended& ended) {
    return ended.status;
  }
}
