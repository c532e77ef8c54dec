#pragma once
// The part of `quantize` that all ranks share: the blocks of all stages are trained, under rank 0's
// claim on the run folder.

#include <functional>
#include <string>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/ranks/tensor_way.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// The arguments of one start of `quantize`.
struct QuantizeStart {
  const CheckedQuantize& checked;
  Files& files;
  Communicator& comm;
  const Device& device;
  ThreadPool& pool;  // the device's host
  QuantizeObserver& observer;
  const RunControl& control;
  int64_t device_bytes = 0;  // that this rank may use of a device with memory of its own
  TensorWay way = {};

  const QuantizeOptions& options() const { return checked.options; }
  std::function<void(const std::string&)> say() const {
    return [this](const std::string& text) { observer.phase_begins(text); };
  }
};

// Collective over start.comm. `session` is null except on rank 0. Fills in blocks, state_bytes,
// state_bytes_written and state_wait_seconds of `result`: the first three on every rank. AgreedStop
// when the ranks leave before the end; everything that was trained is committed then.
void train_blocks(const QuantizeStart& start, const Plan& plan, RunSession* session,
                  QuantizeResult& result);

}  // namespace bitmill
