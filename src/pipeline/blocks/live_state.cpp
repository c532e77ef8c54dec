#include "pipeline/blocks/live_state.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/error.hpp"
#include "base/pieces.hpp"
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

std::vector<Part> large_parts_of(const LearnedLayout& layout) {
  std::vector<Part> parts;
  for (const LearnedSegment& segment : layout.segments()) {
    if (!segment.large) continue;
    parts.push_back({fmt::format(".{}.{}", segment.name, segment.linear), true, segment.offset,
                     segment.offset + segment.size});
  }
  return parts;
}

std::vector<Part> parts_of(const LearnedLayout& layout) {
  std::vector<Part> parts = large_parts_of(layout);
  parts.insert(parts.begin(), {"", false, 0, layout.small_size()});
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

// `values` [n] float32, on the host.
void give(const at::Tensor& values, Dtype dtype, ThreadPool& pool, const ByteSink& sink) {
  if (dtype == Dtype::float32) return sink(bytes_of(values));
  const std::span<const float> floats = floats_of(values);
  const auto bytes_each = static_cast<size_t>(dtype_bytes(dtype));
  std::vector<std::byte> raw(floats.size() * bytes_each);
  parallel_pieces(pool, values.numel(), elements_per_task, [&](int64_t first, int64_t count) {
    const auto from = static_cast<size_t>(first), size = static_cast<size_t>(count);
    from_float32(dtype, floats.subspan(from, size),
                 std::span(raw).subspan(from * bytes_each, size * bytes_each));
  });
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

std::vector<TensorSource> tensors_of(const LiveState& state, const std::vector<Part>& parts,
                                     Dtype large, ThreadPool& pool) {
  std::vector<TensorSource> tensors;
  for (const Part& part : parts) {
    const Dtype dtype = part.large ? large : Dtype::float32;
    for (const StoredKind& kind : kinds) {
      const auto produce = [=, &pool](const ByteSink& sink) {
        give(kind.moment ? state.optimizer.collect(*kind.moment, part.begin, part.end)
                         : state.optimizer.device().fetch(learned_part(state, part)),
             dtype, pool, sink);
      };
      tensors.push_back({kind.name + part.suffix, dtype, {part.size()}, produce});
    }
  }
  return tensors;
}

void restore_parts(const LiveState& state, const std::vector<Part>& parts,
                   const SafetensorsFile* file, Communicator& comm) {
  for (const Part& part : parts) {
    for (const StoredKind& kind : kinds) {
      at::Tensor values;
      if (file != nullptr) values = read_floats(*file, kind.name + part.suffix, part.size());
      if (kind.moment) {
        state.optimizer.hand_out(*kind.moment, part.begin, part.end, values);
        continue;
      }
      if (!values.defined()) values = at::empty({part.size()});
      comm.broadcast(bytes_of(values), 0);
      learned_part(state, part).copy_(values);
    }
  }
}

}  // namespace

std::vector<TensorSource> state_tensors(const LiveState& state, Dtype large, ThreadPool& pool) {
  return tensors_of(state, parts_of(state.layout), large, pool);
}

std::vector<TensorSource> large_state_tensors(const LiveState& state, Dtype large,
                                              ThreadPool& pool) {
  return tensors_of(state, large_parts_of(state.layout), large, pool);
}

void take_part(const std::vector<TensorSource>& tensors, int times) {
  for (int i = 0; i < times; ++i) {
    for (const TensorSource& tensor : tensors) tensor.produce([](std::span<const std::byte>) {});
  }
}

void restore_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm) {
  restore_parts(state, parts_of(state.layout), file, comm);
}

void restore_large_state(const LiveState& state, const SafetensorsFile* file, Communicator& comm) {
  restore_parts(state, large_parts_of(state.layout), file, comm);
}

void broadcast_tensor(const SafetensorsFile* file, const std::string& name,
                      std::span<std::byte> into, Communicator& comm) {
  if (file != nullptr) {
    const TensorInfo& info = file->info(name);
    BITMILL_CHECK(info.bytes == std::ssize(into), FormatError,
                  fmt::format("{}: \"{}\" has {} bytes, and {} belong there: start over with "
                              "--resume never",
                              file->path(), name, info.bytes, into.size()));
    file->read(info, into);
  }
  comm.broadcast(into, 0);
}

void round_large(const LiveState& state, ThreadPool& pool) {
  const int64_t small = state.layout.small_size(), all = state.layout.size();
  round_to_bfloat(state.learned.narrow(0, small, all - small), pool);
  state.optimizer.round_moments(small);
}

}  // namespace bitmill
