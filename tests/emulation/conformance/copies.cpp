// When copies read and write host memory, and how kinds of memory are told apart.

#include <cstring>
#include <numeric>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {

CONFORMS(copies, "Pinned memory is read when the stream comes to the copy") {
  const Stream stream;
  DeviceMemory<int> memory(64, 0);
  PinnedMemory<int> source(64, 1);
  Gate gate(stream);
  MUST(cudaMemcpyAsync(memory.get(), source.get(), memory.bytes(), cudaMemcpyHostToDevice, stream));
  source[63] = 2;
  gate.open();
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(memory.values()[0], 1);
  EXPECT_SAME(memory.values()[63], 2);
}

CONFORMS(copies, "Pinned memory is written when the stream comes to the copy") {
  const Stream stream;
  const DeviceMemory<int> memory(64, 5);
  PinnedMemory<int> target(64, 0);
  Gate gate(stream);
  MUST(cudaMemcpyAsync(target.get(), memory.get(), memory.bytes(), cudaMemcpyDeviceToHost, stream));
  EXPECT_SAME(target[0], 0);
  gate.open();
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(target[0], 5);
  EXPECT_SAME(target[63], 5);
}

CONFORMS(copies, "Pageable memory may be changed as soon as the copy from it has returned") {
  const Stream stream;
  DeviceMemory<int> memory(64, 0);
  std::vector<int> source(64, 1);
  MUST(
      cudaMemcpyAsync(memory.get(), source.data(), memory.bytes(), cudaMemcpyHostToDevice, stream));
  std::fill(source.begin(), source.end(), 2);
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(memory.values()[0], 1);
  EXPECT_SAME(memory.values()[63], 1);
}

CONFORMS(copies, "A copy into pageable memory is there when it has returned") {
  const Stream stream;
  DeviceMemory<int> memory(64, 0);
  std::vector<int> target(64, -1);
  MUST(cudaMemsetAsync(memory.get(), 1, memory.bytes(), stream));
  MUST(
      cudaMemcpyAsync(target.data(), memory.get(), memory.bytes(), cudaMemcpyDeviceToHost, stream));
  EXPECT_SAME(target[63], 0x01010101);
}

CONFORMS(copies, "Rows of a picture are copied with their pitches") {
  const Stream stream;
  PinnedMemory<char> source(6 * 4, 'x');
  DeviceMemory<char> memory(8 * 4, '.');
  for (size_t row = 0; row < 4; ++row) std::memset(source.get() + row * 6, 'a' + int(row), 3);
  MUST(cudaMemcpy2DAsync(memory.get(), 8, source.get(), 6, 3, 4, cudaMemcpyHostToDevice, stream));
  MUST(cudaStreamSynchronize(stream));
  const std::vector<char> all = memory.values();
  EXPECT_SAME(std::string(all.data(), 8), "aaa.....");
  EXPECT_SAME(std::string(all.data() + 24, 8), "ddd.....");
}

CONFORMS(copies, "Kinds of memory are told apart") {
  const DeviceMemory<int> device(1, 0);
  const PinnedMemory<int> pinned(1, 0);
  std::vector<int> pageable(4096, 0);
  cudaPointerAttributes all;
  MUST(cudaPointerGetAttributes(&all, device.get()));
  EXPECT_SAME(all.type, cudaMemoryTypeDevice);
  EXPECT_SAME(all.device, 0);
  MUST(cudaPointerGetAttributes(&all, pinned.get()));
  EXPECT_SAME(all.type, cudaMemoryTypeHost);
  MUST(cudaPointerGetAttributes(&all, pageable.data()));
  EXPECT_SAME(all.type, cudaMemoryTypeUnregistered);
}

CONFORMS(copies, "Memory that is registered is pinned until it is unregistered") {
  std::vector<int> memory(1 << 14, 0);
  cudaPointerAttributes all;
  MUST(cudaHostRegister(memory.data(), memory.size() * sizeof(int), cudaHostRegisterDefault));
  MUST(cudaPointerGetAttributes(&all, memory.data() + 100));
  EXPECT_SAME(all.type, cudaMemoryTypeHost);
  EXPECT_SAME(cudaHostRegister(memory.data(), 64, cudaHostRegisterDefault),
              cudaErrorHostMemoryAlreadyRegistered);
  MUST(cudaHostUnregister(memory.data()));
  EXPECT_SAME(cudaHostUnregister(memory.data()), cudaErrorHostMemoryNotRegistered);
}

CONFORMS(pool,
         "Memory of a stream's order is there behind its allocation, also for another stream") {
  const Stream first, second;
  const Event made(cudaEventDisableTiming), used(cudaEventDisableTiming);
  int* memory = nullptr;
  PinnedMemory<int> back(256, 0);
  MUST(cudaMallocAsync(reinterpret_cast<void**>(&memory), 1024, first));
  MUST(cudaMemsetAsync(memory, 1, 1024, first));
  MUST(cudaEventRecord(made, first));
  MUST(cudaStreamWaitEvent(second, made, 0));
  MUST(cudaMemcpyAsync(back.get(), memory, 1024, cudaMemcpyDeviceToHost, second));
  MUST(cudaEventRecord(used, second));
  MUST(cudaStreamWaitEvent(first, used, 0));
  MUST(cudaFreeAsync(memory, first));
  MUST(cudaStreamSynchronize(first));
  EXPECT_SAME(back[0], 0x01010101);
  EXPECT_SAME(back[255], 0x01010101);
}

CONFORMS(pool, "A pool remembers how much it shall keep") {
  cudaMemPool_t pool = nullptr;
  MUST(cudaDeviceGetDefaultMemPool(&pool, 0));
  unsigned long long before = 0, keep = 1 << 20, now = 0;
  MUST(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &before));
  MUST(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  MUST(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &now));
  EXPECT_SAME(now, keep);
  MUST(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &before));
  EXPECT_SAME(cudaMemPoolTrimTo(pool, 0), cudaSuccess);
}

}  // namespace conformance
