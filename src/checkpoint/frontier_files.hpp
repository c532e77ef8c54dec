#pragma once
// The streams that a stop keeps: what the block reads at which the run stopped. With them, the next
// start need not make these streams again from the first block on.
//
//   state-0007/streams/frontier.json        what is kept; written last, so that all of it is there
//   state-0007/streams/0002.safetensors     the samples of replica 2 of the start that stopped
//
// Whatever is wrong with these files, a run goes on without them.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/run_state.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill {

struct Frontier {
  int block = 0;  // that reads the streams
  int turn = 0;
  bool targets = false;  // the teacher's stream is what the block makes of it; else what it reads
  int64_t bytes = 0;     // of all tensors
  std::string made_by;   // packed_chain() when the streams were kept
  std::vector<std::string> parts;  // content hashes of the parts, by replica
};

// A hash over the packed contents of the blocks before `block` at `turn`, as their headers record
// them: these blocks, and nothing else that may change in a run, make the student's stream.
// FormatError, FileError when a header cannot be read.
std::string packed_chain(const RunState& state, int block, int turn);

class FrontierFiles {
 public:
  // For any process of the job that holds or has joined the claim. Both outlive it.
  FrontierFiles(Files& files, Claim& claim);

  // What is kept. Nothing when nothing is there; FormatError when it is damaged.
  std::optional<Frontier> kept() const;
  // Says that nothing is kept any more. To be called before the parts change, by one process.
  void forget();
  // Returns the content's hash. Produces each tensor twice.
  std::string write_part(int replica, const std::vector<TensorSource>& tensors);
  // To be called by one process, when all parts are written.
  void keep(const Frontier& frontier);
  // Removes parts that `frontier` does not have, left by a start with more replicas.
  void remove_other_parts(const Frontier& frontier);

 private:
  std::string folder() const;
  std::string manifest_path() const;
  std::string part_path(int replica) const;

  Files& files_;
  Claim& claim_;

  friend class FrontierReader;
};

// Reads single tensors of the parts and compares each with its hash.
class FrontierReader {
 public:
  // Opens the headers of all parts. FormatError when a part is damaged or is not the one that was
  // kept.
  FrontierReader(const FrontierFiles& files, const Frontier& frontier);

  // FormatError when the tensor is missing, has another size, or is damaged. Several threads may
  // call.
  void read(const std::string& name, std::span<std::byte> into) const;

 private:
  struct Part {
    SafetensorsFile file;
    std::map<std::string, std::string> hashes;
  };
  std::vector<Part> parts_;
};

}  // namespace bitmill
