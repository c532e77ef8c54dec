// The work folder of a run as anybody left it: its status asked and every file read; then once more
// with hashes that fit.

#include <array>

#include "checkpoint/audit.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/frontier_files.hpp"
#include "checkpoint/run_dir.hpp"
#include "checkpoint/run_state.hpp"
#include "fuzz/reseal.hpp"
#include "fuzz/target.hpp"
#include "pipeline/folder/run_status.hpp"

namespace {

using namespace bitmill;

constexpr const char* work_dir = "/w";
const std::chrono::milliseconds no_time{0};

void use_folder(MemoryFiles& files) {
  static ThreadPool pool(1);
  fuzz::may_refuse([&] { read_status(files, work_dir, {no_time, no_time}); });
  const auto found = find_state(files, work_dir);
  if (!found) return;
  const RunState state(files, found->path);
  fuzz::may_refuse([&] { state.record(); });
  for (const int turn : {0, 1}) {
    fuzz::may_refuse([&] { state.open_packed(0, turn); });
    fuzz::may_refuse([&] { state.recorded_content(0, turn); });
  }
  fuzz::may_refuse([&] { state.live_progress(0); });
  fuzz::may_refuse([&] { state.open_live(0); });
  fuzz::may_refuse([&] { state.source(0); });
  fuzz::may_refuse([&] { read_failure(state); });
  fuzz::may_refuse([&] { audit_run(files, work_dir, pool); });
}

// What a start does with it before it trains: take it over, and see which blocks are done.
void take_over(MemoryFiles& files) {
  fuzz::may_refuse([&] {
    const auto claim =
        Claim::take(files, work_dir, {"h", 1, "", "", "", "t"}, {no_time, no_time}, [](auto&) {});
    RunDir dir(files, *claim);
    dir.events().packed_blocks();
    dir.resume();
    const FrontierFiles streams(files, *claim);
    for (const auto& [name, stream] : streams.list()) {
      if (!stream.trouble.empty()) continue;
      std::array<std::byte, 16> sample;
      FrontierReader(streams, stream).read(0, sample);
    }
  });
}

void reseal(MemoryFiles& files) {
  const auto found = find_state(files, work_dir);
  if (!found) return;
  const auto path = [&](const char* name) { return join_path(found->path, name); };
  for (const char* name : {"holder.json", "run.json", "failure.json", "sources/0000.json"}) {
    fuzz::may_refuse([&] { fuzz::reseal_json(files, path(name)); });
  }
  for (const char* name :
       {"blocks/0000.0.safetensors", "blocks/0000.1.safetensors", "live/0000.safetensors",
        "redo/0000.0.safetensors", "streams/student-0001.0.0000.safetensors"}) {
    fuzz::may_refuse([&] { fuzz::reseal_block(files, path(name)); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryFiles files;
  fuzz::put_folder(files, work_dir, fuzz::text_of(data, size));
  use_folder(files);
  reseal(files);
  use_folder(files);
  take_over(files);
  return 0;
}
