#include "pipeline/blocks/frontier_stock.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "base/error.hpp"

namespace bitmill {
namespace {

// All of the name is compared: "student-12.1" is none.
std::optional<StreamId> stream_named(const std::string& name, const Plan& plan) {
  for (int block = 1; block <= plan.blocks; ++block) {
    if (name == file_name_of(teacher_stream(block))) return teacher_stream(block);
    for (int turn = 0; turn < plan.turns(); ++turn) {
      if (name == file_name_of(student_stream(block, turn))) return student_stream(block, turn);
    }
  }
  return std::nullopt;
}

// The teacher's stream is made of the source alone. A start compares the weights of all blocks that
// it passes over (check_unread_blocks() in train_blocks.cpp).
std::string fault_of_makers(const StreamId& stream, const KeptStream& kept, const RunState& state,
                            const std::vector<BlockDone>& done) {
  if (stream.turn == StreamId::of_teacher) return "";
  for (int before = 0; before < stream.block; ++before) {
    if (done[static_cast<size_t>(before)].turns <= stream.turn) {
      return fmt::format("block {} before it is not packed any more", before);
    }
  }
  try {
    const bool same = packed_chain(state, stream.block, stream.turn) == kept.made_by;
    return same ? "" : "other packed blocks have made it";
  } catch (const FileError& error) {
    return error.what();
  } catch (const FormatError& error) {
    return error.what();
  }
}

// Empty where the stream can be used.
std::string fault_of(const std::optional<StreamId>& stream, const KeptStream& kept,
                     const RunState& state, const std::vector<BlockDone>& done, int64_t samples) {
  if (!kept.trouble.empty()) return kept.trouble;
  if (!stream) return kept.parts.front() + ": no stream of this run has this name";
  if (kept.samples != samples) {
    return fmt::format("{}: {} of {} samples are there", kept.parts.front(), kept.samples, samples);
  }
  const std::string fault = fault_of_makers(*stream, kept, state, done);
  return fault.empty() ? "" : fmt::format("{}: {}", kept.parts.front(), fault);
}

std::set<std::string> names_beside(Files& files, const std::string& path) {
  const std::vector<std::string> names = files.list(parent_path(path));
  return {names.begin(), names.end()};
}

}  // namespace

std::string file_name_of(const StreamId& stream) {
  return stream.turn == StreamId::of_teacher
             ? fmt::format("teacher-{:04}", stream.block)
             : fmt::format("student-{:04}.{}", stream.block, stream.turn);
}

KeptStreams FrontierStock::streams() const {
  KeptStreams all;
  for (const auto& [stream, kept] : usable) all.insert(stream);
  return all;
}

int64_t FrontierStock::bytes_besides(const KeptStreams& used) const {
  int64_t bytes = 0;
  for (const KeptStream& one : rest) bytes += one.bytes;
  for (const auto& [stream, kept] : usable) {
    if (!used.contains(stream)) bytes += kept.bytes;
  }
  return bytes;
}

FrontierStock take_stock(const FrontierFiles& files, const RunState& state, const Plan& plan,
                         const std::vector<BlockDone>& done, int64_t samples) {
  FrontierStock stock;
  for (const auto& [name, kept] : files.list()) {
    const std::optional<StreamId> stream = stream_named(name, plan);
    const std::string fault = fault_of(stream, kept, state, done, samples);
    if (fault.empty()) {
      stock.usable[*stream] = kept;
    } else {
      stock.rest.push_back(kept);
      stock.troubles.push_back(fault);
    }
  }
  return stock;
}

std::vector<BlockDone> committed_blocks(const RunState& state, const Plan& plan) {
  const std::set<std::string> packed = names_beside(state.files(), state.packed_path(0, 0));
  const std::set<std::string> live = names_beside(state.files(), state.live_path(0));
  std::vector<BlockDone> done;
  for (int block = 0; block < plan.blocks; ++block) {
    BlockDone one;
    while (packed.contains(file_name(state.packed_path(block, one.turns)))) ++one.turns;
    if (live.contains(file_name(state.live_path(block)))) {
      const Progress progress = state.live_progress(block);
      one.epochs = progress.epochs;
      one.steps = progress.steps;
    }
    done.push_back(usable(one, plan));
  }
  return done;
}

}  // namespace bitmill
