// Which work waits for which: streams, the default stream, events.

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {

CONFORMS(streams, "Work of one stream is done in order") {
  const Stream stream;
  DeviceMemory<int> memory(256, 7);
  PinnedMemory<int> back(256, 0);
  MUST(cudaMemsetAsync(memory.get(), 0, memory.bytes(), stream));
  MUST(cudaMemcpyAsync(back.get(), memory.get(), memory.bytes(), cudaMemcpyDeviceToHost, stream));
  MUST(cudaMemsetAsync(memory.get(), 1, memory.bytes(), stream));
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(back[0], 0);
  EXPECT_SAME(back[255], 0);
  EXPECT_SAME(memory.values()[255], 0x01010101);
}

CONFORMS(streams, "A stream that is not blocking does not wait for the default stream") {
  const Stream stream;
  Flag flag;
  const Gate gate(nullptr);
  flag.raise_on(stream);
  EXPECT(flag.comes_up());
  EXPECT_SAME(cudaStreamQuery(nullptr), cudaErrorNotReady);
}

CONFORMS(streams, "A blocking stream waits for what is on the default stream before it") {
  const Stream stream(cudaStreamDefault);
  Flag flag;
  Gate gate(nullptr);
  flag.raise_on(stream);
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
}

CONFORMS(streams, "The default stream waits for what is on blocking streams before it") {
  const Stream stream(cudaStreamDefault);
  Flag flag;
  Gate gate(stream);
  flag.raise_on(nullptr);
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
}

CONFORMS(streams, "Two streams do not wait for each other") {
  const Stream first, second;
  Flag flag;
  const Gate gate(first);
  flag.raise_on(second);
  EXPECT_SAME(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT(flag.raised());
}

CONFORMS(streams, "A stream is not ready while work is under way, and that is no error") {
  const Stream stream;
  EXPECT_SAME(cudaStreamQuery(stream), cudaSuccess);
  Gate gate(stream);
  EXPECT_SAME(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_SAME(cudaPeekAtLastError(), cudaSuccess);
  gate.open();
  EXPECT_SAME(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_SAME(cudaStreamQuery(stream), cudaSuccess);
}

CONFORMS(events, "A stream that waits for an event does nothing before it") {
  const Stream first, second;
  const Event event(cudaEventDisableTiming);
  Flag flag;
  Gate gate(first);
  MUST(cudaEventRecord(event, first));
  MUST(cudaStreamWaitEvent(second, event, 0));
  flag.raise_on(second);
  EXPECT_SAME(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_SAME(cudaPeekAtLastError(), cudaSuccess);
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
  EXPECT_SAME(cudaEventQuery(event), cudaSuccess);
}

CONFORMS(events, "An event that was never recorded is there, and nobody waits for it") {
  const Stream stream;
  const Event event;
  Flag flag;
  EXPECT_SAME(cudaEventQuery(event), cudaSuccess);
  EXPECT_SAME(cudaEventSynchronize(event), cudaSuccess);
  MUST(cudaStreamWaitEvent(stream, event, 0));
  flag.raise_on(stream);
  EXPECT(flag.comes_up());
}

CONFORMS(events, "A wait is for what was recorded at the time of the wait") {
  const Stream held, waiting, other;
  const Event event(cudaEventDisableTiming);
  Flag flag;
  Gate gate(held);
  MUST(cudaEventRecord(event, held));
  MUST(cudaStreamWaitEvent(waiting, event, 0));
  flag.raise_on(waiting);
  MUST(cudaEventRecord(event, other));
  EXPECT_SAME(cudaEventSynchronize(event), cudaSuccess);  // now of the other stream
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
}

CONFORMS(events, "A record covers what is on its stream before it, and nothing later") {
  const Stream stream;
  const Event event(cudaEventDisableTiming);
  MUST(cudaEventRecord(event, stream));
  Gate gate(stream);
  EXPECT_SAME(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_SAME(cudaStreamQuery(stream), cudaErrorNotReady);
  gate.open();
}

CONFORMS(events, "The time between two events is at least that of the work between them") {
  const Stream stream;
  const Event begin, end;
  MUST(cudaEventRecord(begin, stream));
  MUST(cudaEventSynchronize(begin));
  {
    Gate gate(stream);
    MUST(cudaEventRecord(end, stream));
    float early = 0;
    EXPECT_SAME(cudaEventElapsedTime(&early, begin, end), cudaErrorNotReady);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  float milliseconds = 0;
  MUST(cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT(milliseconds >= 20.0F);
  EXPECT(milliseconds < 60000.0F);
}

CONFORMS(events, "There is no time between events that were not recorded, or record none") {
  const Event begin, end, untimed(cudaEventDisableTiming);
  float milliseconds = 0;
  EXPECT_SAME(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorInvalidResourceHandle);
  MUST(cudaEventRecord(begin, nullptr));
  MUST(cudaEventRecord(untimed, nullptr));
  MUST(cudaDeviceSynchronize());
  EXPECT_SAME(cudaEventElapsedTime(&milliseconds, begin, untimed), cudaErrorInvalidResourceHandle);
}

CONFORMS(lifetimes, "A stream that is destroyed finishes its work first") {
  Stream stream;
  Flag flag;
  Gate gate(stream);
  flag.raise_on(stream);
  EXPECT_SAME(cudaStreamDestroy(stream.release()), cudaSuccess);
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
}

CONFORMS(lifetimes, "An event that is destroyed is still waited for") {
  const Stream first, second;
  Event event(cudaEventDisableTiming);
  Flag flag;
  Gate gate(first);
  MUST(cudaEventRecord(event, first));
  MUST(cudaStreamWaitEvent(second, event, 0));
  EXPECT_SAME(cudaEventDestroy(event.release()), cudaSuccess);
  flag.raise_on(second);
  EXPECT(flag.stays_down());
  gate.open();
  EXPECT(flag.comes_up());
}

CONFORMS(lifetimes, "Waiting for the device waits for streams that are destroyed") {
  Stream stream;
  Flag flag;
  {
    Gate gate(stream);
    flag.raise_on(stream);
    MUST(cudaStreamDestroy(stream.release()));
    gate.open();
    MUST(cudaDeviceSynchronize());
    EXPECT(flag.raised());
  }
}

}  // namespace conformance
