#pragma once
// What generate, serve and bench have in common: a folder is opened, checked and loaded.

#include <memory>
#include <string>
#include <string_view>

#include "cli/commands/command.hpp"
#include "cli/options/infer_options.hpp"
#include "infer/resident_model.hpp"

namespace bitmill {

// The kernel of packed products: the fastest that this processor runs, or the one that the
// environment variable BITMILL_CPU_KERNEL names. UsageError when that one cannot run.
const CpuKernel& kernel_of_this_machine();

class DecoderJob {
 public:
  // `command` is named in errors.
  DecoderJob(std::string command, std::string folder, ProductChoice choice);

  // Checks the number of ranks and every byte of a packed folder, and opens the model.
  void check(const CheckContext& context);
  const ModelConfig& config() const { return source_->config(); }

  // Loads all blocks, and says which kernel computes; first, where that is a slow one, why.
  void load(RunContext& context);
  const ResidentModel& model() const { return *model_; }
  double load_seconds() const { return load_seconds_; }

  // UsageError, with figures and `advice`, when the cache of `texts` of `positions` each does not
  // fit the memory that is left.
  void check_cache(int64_t texts, int64_t positions, std::string_view advice) const;
  // A session of `positions`, after check_cache().
  std::unique_ptr<Session> start_session(int64_t positions, std::string_view advice) const;

 private:
  const std::string command_;
  const std::string folder_;
  const ProductChoice choice_;
  const CpuKernel* kernel_ = nullptr;
  std::unique_ptr<SourceModel> source_;
  std::unique_ptr<ResidentModel> model_;
  double load_seconds_ = 0;
};

}  // namespace bitmill
