#include "pipeline/blocks/live_state.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/error.hpp"
#include "format/dtype.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// Elements [begin, end) of the flat tensor. In the file they are one tensor for the values and one
// for each moment.
struct Part {
  std::string suffix;
  bool large;
  int64_t begin, end;

  int64_t size() const { return end - begin; }
};

std::vector<Part> parts_of(const LearnedLayout& layout) {
  std::vector<Part> parts = {{"", false, 0, layout.small_size()}};
  for (const LearnedSegment& segment : layout.segments()) {
    if (!segment.large) continue;
    parts.push_back({fmt::format(".{}.{}", segment.name, segment.linear), true, segment.offset,
                     segment.offset + segment.size});
  }
  return parts;
}

// The kinds of tensors in the file: the values, and each moment by its name.
struct StoredKind {
  const char* name;
  std::optional<Moment> moment;
};
constexpr std::array<StoredKind, 3> kinds = {{{"learned", std::nullopt},
                                              {"first_moment", Moment::first},
                                              {"second_moment", Moment::second}}};

at::Tensor learned_part(const LiveState& state, const Part& part) {
  return state.learned.narrow(0, part.begin, part.size());
}

void give(const at::Tensor& values, Dtype dtype, const ByteSink& sink) {
  if (dtype == Dtype::float32) return sink(bytes_of(values));
  const std::span<const float> floats = floats_of(values);
  std::vector<std::byte> raw(floats.size() * static_cast<size_t>(dtype_bytes(dtype)));
  from_float32(dtype, floats, raw);
  sink(raw);
}

at::Tensor read_floats(const SafetensorsFile& file, const std::string& name, int64_t size) {
  const TensorInfo& info = file.info(name);
  BITMILL_CHECK(is_float(info.dtype) && info.elements() == size, FormatError,
                fmt::format("{}: \"{}\" has {} values of {}, and {} floats belong there: build the "
                            "block again with --redo-blocks",
                            file.path(), name, info.elements(), info.dtype_text, size));
  at::Tensor values = at::empty({size});
  if (info.dtype == Dtype::float32) {
    file.read(info, bytes_of(values));
    return values;
  }
  std::vector<std::byte> raw(static_cast<size_t>(info.bytes));
  file.read(info, raw);
  to_float32(info.dtype, raw, floats_of(values));
  return values;
}

}  // namespace

std::vector<TensorSource> state_tensors(const LiveState& state, Dtype large) {
  std::vector<TensorSource> tensors;
  for (const Part& part : parts_of(state.layout)) {
    const Dtype dtype = part.large ? large : Dtype::float32;
    for (const StoredKind& kind : kinds) {
      const auto produce = [=](const ByteSink& sink) {
        give(kind.moment ? state.optimizer.collect(*kind.moment, part.begin, part.end)
                         : learned_part(state, part),
             dtype, sink);
      };
      tensors.push_back({kind.name + part.suffix, dtype, {part.size()}, produce});
    }
  }
  return tensors;
}

void restore_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm) {
  for (const Part& part : parts_of(state.layout)) {
    for (const StoredKind& kind : kinds) {
      at::Tensor values;
      if (file != nullptr) values = read_floats(*file, kind.name + part.suffix, part.size());
      if (kind.moment) {
        state.optimizer.hand_out(*kind.moment, part.begin, part.end, values);
        continue;
      }
      at::Tensor learned = learned_part(state, part);
      if (values.defined()) learned.copy_(values);
      comm.broadcast(bytes_of(learned), 0);
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

void round_large(const LiveState& state) {
  const int64_t small = state.layout.small_size(), all = state.layout.size();
  for (float& value : floats_of(state.learned.narrow(0, small, all - small))) {
    value = bfloat_to_float(float_to_bfloat(value));
  }
  state.optimizer.round_moments(small);
}

}  // namespace bitmill
