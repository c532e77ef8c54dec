#include "pipeline/blocks/live_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.hpp"
#include "format/dtype.hpp"

namespace bitmill {
namespace {

// Elements [begin, end) of the flat vector, which are one tensor of the file for the values and one
// for each moment.
struct Part {
  std::string suffix;
  bool latents;
  int64_t begin, end;
};

std::vector<Part> parts_of(const LearnedLayout& layout) {
  std::vector<Part> parts = {{"", false, 0, layout.vectors_size()}};
  for (const LearnedSegment& segment : layout.segments()) {
    if (segment.kind != LearnedKind::latents) continue;
    parts.push_back({fmt::format(".latents.{}", segment.linear), true, segment.offset,
                     segment.offset + segment.size});
  }
  return parts;
}

// The values themselves, and the moments by name.
struct Kind {
  const char* name;
  std::optional<Moment> moment;
};
constexpr std::array<Kind, 3> kinds = {{{"learned", std::nullopt},
                                        {"first_moment", Moment::first},
                                        {"second_moment", Moment::second}}};

std::span<float> learned_part(const LiveState& state, const Part& part) {
  return state.learned.subspan(static_cast<size_t>(part.begin),
                               static_cast<size_t>(part.end - part.begin));
}

std::vector<std::byte> bytes_of(Dtype dtype, std::span<const float> values) {
  std::vector<std::byte> raw(values.size() * static_cast<size_t>(dtype_bytes(dtype)));
  from_float32(dtype, values, raw);
  return raw;
}

std::vector<float> read_floats(const SafetensorsFile& file, const std::string& name, int64_t size) {
  const TensorInfo& info = file.info(name);
  BITMILL_CHECK(is_float(info.dtype) && info.elements() == size, FormatError,
                fmt::format("{}: \"{}\" has {} values of {}, and {} floats belong there: build the "
                            "block again with --redo-blocks",
                            file.path(), name, info.elements(), info.dtype_text, size));
  std::vector<std::byte> raw(static_cast<size_t>(info.bytes));
  file.read(info, raw);
  std::vector<float> values(static_cast<size_t>(size));
  to_float32(info.dtype, raw, values);
  return values;
}

}  // namespace

std::vector<TensorSource> state_tensors(const LiveState& state, Dtype latents) {
  std::vector<TensorSource> tensors;
  for (const Part& part : parts_of(state.layout)) {
    const Dtype dtype = part.latents ? latents : Dtype::float32;
    for (const Kind& kind : kinds) {
      const auto produce = [=](const ByteSink& sink) {
        if (!kind.moment) return sink(bytes_of(dtype, learned_part(state, part)));
        sink(bytes_of(dtype, state.optimizer.collect(*kind.moment, part.begin, part.end)));
      };
      tensors.push_back({kind.name + part.suffix, dtype, {part.end - part.begin}, produce});
    }
  }
  return tensors;
}

void restore_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm) {
  for (const Part& part : parts_of(state.layout)) {
    for (const Kind& kind : kinds) {
      std::vector<float> values;
      if (file != nullptr) {
        values = read_floats(*file, kind.name + part.suffix, part.end - part.begin);
      }
      if (kind.moment) {
        state.optimizer.hand_out(*kind.moment, part.begin, part.end, values);
        continue;
      }
      const std::span<float> learned = learned_part(state, part);
      std::copy(values.begin(), values.end(), learned.begin());
      comm.broadcast(std::as_writable_bytes(learned), 0);
    }
  }
}

void broadcast_tensor(const SafetensorsFile* file, const std::string& name,
                      std::span<std::byte> into, Communicator& comm) {
  if (file != nullptr) {
    const TensorInfo& info = file->info(name);
    BITMILL_CHECK(info.bytes == std::ssize(into), FormatError,
                  fmt::format("{}: \"{}\" has {} bytes, and {} belong there: build the block again "
                              "with --redo-blocks",
                              file->path(), name, info.bytes, into.size()));
    file->read(info, into);
  }
  comm.broadcast(into, 0);
}

void round_latents(const LiveState& state) {
  for (float& value : state.learned.subspan(static_cast<size_t>(state.layout.vectors_size()))) {
    value = bfloat_to_float(float_to_bfloat(value));
  }
  state.optimizer.round_moments(state.layout.vectors_size());
}

}  // namespace bitmill
