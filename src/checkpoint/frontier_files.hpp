#pragma once
// The streams that a stop keeps: what blocks read at which the run stopped. With them, the next
// start need not make these streams again from the first block on.
//
//   state-0007/streams/student-0012.1.0002.safetensors   of stream "student-0012.1", the samples of
//                                                        replica 2 of the start that stopped
//
// A tensor has the number of its sample as its name. Nothing says which streams belong together,
// and nothing has to: a stream is used when the samples of its parts are all samples there are, and
// every part carries its hashes, the stream's name, and what made it. So whatever a kill leaves,
// each stream is either whole or not believed.
//
// Whatever is wrong with these files, a run goes on without them.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/run_state.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill {

// What the headers of a stream's parts say.
struct KeptStream {
  std::string made_by;             // as it was given to write_part()
  int64_t samples = 0, bytes = 0;  // of all parts
  std::vector<std::string> parts;  // paths
  std::string trouble;             // why it cannot be used; else empty
};

// A hash over the packed contents of the blocks before `block` at `turn`, as their headers record
// them: these blocks, and nothing else that may change in a run, make the student's stream.
// FormatError, FileError when a header cannot be read.
std::string packed_chain(const RunState& state, int block, int turn);

class FrontierFiles {
 public:
  // For any process of the job that holds or has joined the claim. Both outlive it.
  FrontierFiles(Files& files, Claim& claim);

  // Every stream of which there is a part, by name. Reads headers. FileError when the folder cannot
  // be listed.
  std::map<std::string, KeptStream> list() const;
  // Writes the samples of a replica, each a tensor. Produces each tensor twice. Nothing when there
  // are none. What a failure leaves is removed where that is possible.
  void write_part(const std::string& name, const std::string& made_by, int replica,
                  const std::vector<TensorSource>& samples);
  // On the file system of these files. FileError.
  int64_t free_bytes() const;
  // To be called by one process.
  void remove(const KeptStream& stream);

 private:
  std::string folder() const;

  Files& files_;
  Claim& claim_;

  friend class FrontierReader;
};

// Reads the samples of one stream and compares each with its hash.
class FrontierReader {
 public:
  // Opens the headers of all parts. FormatError when a part is damaged.
  FrontierReader(const FrontierFiles& files, const KeptStream& stream);

  // FormatError when the sample is missing, has another size, or is damaged. Several threads may
  // call.
  void read(int64_t sample, std::span<std::byte> into) const;

 private:
  struct Part {
    SafetensorsFile file;
    std::map<std::string, std::string> hashes;
  };
  std::vector<Part> parts_;
};

}  // namespace bitmill
