#pragma once
// The parts of a chain that make a folder, as the chain sees them: one interface around the jobs of
// preprocess, quantize and tune.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands/chain_config.hpp"
#include "cli/commands/command.hpp"

namespace bitmill {

class ChainStep {
 public:
  explicit ChainStep(ChainPart part) : part_(std::move(part)) {}
  virtual ~ChainStep() = default;

  const ChainPart& part() const { return part_; }

  // Checks all of it where its input is there; else what can be checked without. Every rank calls
  // it; it does not communicate. UsageError also where its output folder holds something, and the
  // input that would tell whether that is its result does not exist.
  void check(const CheckContext& context);
  bool is_checked() const { return checked_; }

  // For --dry-run. Collective where is_checked(): compares what the ranks see.
  virtual void compare_ranks(RunContext& context) = 0;
  // A table for people that ends with what cannot be known yet, or JSON.
  virtual std::string forecast_text() const = 0;

  struct Outcome {
    std::string json;  // an object, as the command of this part prints it
    bool already_done = false;
    double seconds = 0;
  };
  // Collective. REQUIRES: is_checked(). Lets go of what the check has opened.
  virtual Outcome run(RunContext& context) = 0;
  // What can wait until the end of the chain, and may fail.
  virtual void draw(RunContext&) {}

 protected:
  virtual const std::string& input() const = 0;  // a model folder
  virtual void check_all(const CheckContext& context) = 0;
  virtual void check_ahead(const CheckContext& context) = 0;

 private:
  const ChainPart part_;
  bool checked_ = false;
};

// Waits until this host sees the folder that a part has made: rank 0 may have named it on another
// one. FileError when it does not within `patience`.
void wait_for_result(Files& files, const ChainPart& part, std::chrono::milliseconds patience);

// In order.
std::vector<std::unique_ptr<ChainStep>> make_chain_steps(const ChainRequest& request);

}  // namespace bitmill
