#include "cli/commands/decoder_job.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/error.hpp"
#include "base/memory.hpp"
#include "base/stopwatch.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/quantity.hpp"
#include "format/packed_folder.hpp"
#include "product/cpu_kernel.hpp"

namespace bitmill {
namespace {

// A kernel's name, for tests and for measurements side by side. Users never need it.
constexpr const char* kernel_variable = "BITMILL_CPU_KERNEL";

// Longer than what lies between two products of a token, norms and activations; short beside what
// a user does between two texts.
constexpr std::chrono::microseconds idle_spin(200);

}  // namespace

const CpuKernel& kernel_of_this_machine() {
  return choose_cpu_kernel(process_environment()(kernel_variable).value_or("auto"));
}

DecoderJob::DecoderJob(std::string command, std::string folder, ProductChoice choice)
    : command_(std::move(command)), folder_(std::move(folder)), choice_(std::move(choice)) {}

void DecoderJob::check(const CheckContext& context) {
  check_one_rank(command_, context.ranks);
  kernel_ = &kernel_of_this_machine();
  const bool packed = is_packed_folder(context.files, folder_);
  check_has_effect(choice_, folder_, packed);
  if (packed) verify_packed_folder(context.files, folder_, {});
  source_ = std::make_unique<SourceModel>(context.files, folder_);
}

void DecoderJob::load(RunContext& context) {
  context.pool.spin_while_idle(idle_spin);
  if (!choice_.note.empty()) {
    context.console.say(fmt::format("bitmill {}: note: {}", command_, choice_.note));
  }
  if (choice_.path == ProductPath::fast && !slow_kernel_note().empty()) {
    context.console.say(fmt::format("bitmill {}: note: {}", command_, slow_kernel_note()));
  }
  const Stopwatch watch;
  model_ = std::make_unique<ResidentModel>(context.files, *source_, choice_.with(*kernel_),
                                           context.pool);
  load_seconds_ = watch.seconds();
  context.console.say(fmt::format("bitmill {}: {} loaded in {}, kernel {}, {}", command_, folder_,
                                  format_seconds(load_seconds_), model_->kernel(),
                                  format_number_of("thread", context.pool.size())));
}

void DecoderJob::check_cache(int64_t texts, int64_t positions, std::string_view advice) const {
  const int64_t needed = texts * kv_cache_bytes(config(), positions);
  const int64_t there = available_memory_bytes();
  BITMILL_CHECK(
      there == 0 || needed < there, UsageError,
      fmt::format("the cache of {} of {} positions takes {}, and {} of memory are left: {}",
                  format_number_of("text", texts), format_count(positions), format_bytes(needed),
                  format_bytes(there), advice));
}

std::unique_ptr<Session> DecoderJob::start_session(int64_t positions,
                                                   std::string_view advice) const {
  check_cache(1, positions, advice);
  return std::make_unique<Session>(config(), positions);
}

}  // namespace bitmill
