#include "pipeline/blocks/frontier_streams.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "comm/gather.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// "17.2 GB" or "6.29 MB".
std::string size_words(int64_t bytes) {
  constexpr double megabyte = 1e6, gigabyte = 1e9;
  const auto size = static_cast<double>(bytes);
  return size < gigabyte ? fmt::format("{:.3g} MB", size / megabyte)
                         : fmt::format("{:.3g} GB", size / gigabyte);
}

std::string tensor_name_of(const char* stream, int64_t sample) {
  return fmt::format("{}.{}", stream, sample);
}

Dtype dtype_of(const at::Tensor& sample) {
  switch (sample.scalar_type()) {
    case at::kHalf:
      return Dtype::float16;
    case at::kBFloat16:
      return Dtype::bfloat16;
    default:
      return Dtype::float32;
  }
}

void add_stream(const char* name, const SampleShare& share, const SampleStream& stream,
                std::vector<TensorSource>& tensors) {
  const at::Tensor like = stream.room();
  const std::vector<int64_t> shape(like.sizes().begin(), like.sizes().end());
  for (int64_t i = 0; i < share.own_count(); ++i) {
    tensors.push_back({tensor_name_of(name, share.own()[static_cast<size_t>(i)]), dtype_of(like),
                       shape, [&stream, i](const ByteSink& sink) {
                         stream.prefetch(i + 1);
                         sink(bytes_of(stream.load_kept(i)));
                       }});
  }
}

int64_t bytes_of_all(const std::vector<TensorSource>& tensors) {
  int64_t bytes = 0;
  for (const TensorSource& tensor : tensors) bytes += tensor.bytes();
  return bytes;
}

// What `work` fails with, where that is something that a file does; empty when it does not fail.
template <class Work>
std::string trouble_of(const Work& work) {
  try {
    work();
  } catch (const FileError& error) {
    return error.what();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

FrontierStreams::FrontierStreams(FrontierFiles& files, const RunState* state,
                                 Communicator& replicas, const SampleShare& share, ThreadPool& pool,
                                 Say say)
    : files_(files),
      state_(state),
      replicas_(replicas),
      share_(share),
      pool_(pool),
      say_(std::move(say)) {}

std::string FrontierStreams::first_of(const std::string& trouble) {
  for (const std::string& one : gather_texts(replicas_, trouble)) {
    if (!one.empty()) return one;
  }
  return "";
}

KeptStreams FrontierStreams::find(const Plan& plan, const std::vector<BlockDone>& done) {
  KeptStreams found;
  if (leads()) found = look(plan, done);
  replicas_.broadcast(std::as_writable_bytes(std::span(&found, 1)), 0);
  return found;
}

KeptStreams FrontierStreams::look(const Plan& plan, const std::vector<BlockDone>& done) {
  KeptStreams found;
  std::string trouble = trouble_of([&] {
    const auto frontier = files_.kept();
    if (!frontier) return;
    const KeptStreams kept{frontier->block, frontier->turn, frontier->targets};
    const bool usable = can_begin_at(kept, plan, done) &&
                        packed_chain(*state_, kept.block, kept.turn) == frontier->made_by;
    if (usable) {
      found = kept;
    } else {
      files_.forget();
    }
  });
  if (!trouble.empty()) {
    say_(fmt::format("the kept streams cannot be used: {}", trouble));
    trouble_of([&] { files_.forget(); });
  }
  return found;
}

bool FrontierStreams::read(const KeptStreams& kept, SampleStream& student, SampleStream& teacher) {
  const Stopwatch watch;
  int64_t bytes = 0;
  const std::string trouble = first_of(trouble_of([&] {
    const auto frontier = files_.kept();
    BITMILL_CHECK(frontier, FileError, "the list of the kept streams is gone");
    bytes = frontier->bytes;
    const FrontierReader reader(files_, *frontier);
    pool_.parallel_for(share_.own_count(), [&](int64_t i) {
      const int64_t sample = share_.own()[static_cast<size_t>(i)];
      for (const auto& [name, stream] :
           {std::pair("student", &student), std::pair("teacher", &teacher)}) {
        const at::Tensor room = stream->room();
        reader.read(tensor_name_of(name, sample), bytes_of(room));
        stream->store(i, room);
      }
    });
  }));
  if (!leads()) return trouble.empty();
  if (trouble.empty()) {
    say_(
        fmt::format("the streams of block {} were kept and are read ({} in {:.2f} s): the "
                    "{} packed blocks before it are not replayed",
                    kept.block, size_words(bytes), watch.seconds(), kept.block));
  } else {
    say_(fmt::format("the kept streams of block {} cannot be used: {}", kept.block, trouble));
    trouble_of([&] { files_.forget(); });
  }
  return trouble.empty();
}

bool FrontierStreams::is_newer(const KeptStreams& kept) const {
  bool newer = true;
  trouble_of([&] {
    const auto there = files_.kept();
    newer = !there || there->turn != kept.turn || there->block < kept.block;
  });
  return newer;
}

void FrontierStreams::write(const KeptStreams& kept, const SampleStream& student,
                            const SampleStream& teacher) {
  auto begins = static_cast<std::byte>(leads() && is_newer(kept));
  replicas_.broadcast(std::span(&begins, 1), 0);
  if (begins == std::byte{0}) return;
  std::vector<TensorSource> tensors;
  add_stream("student", share_, student, tensors);
  add_stream("teacher", share_, teacher, tensors);
  Frontier frontier{kept.block, kept.turn, kept.targets, 0, "", {}};
  for (const int64_t bytes : gather_value(replicas_, bytes_of_all(tensors))) {
    frontier.bytes += bytes;
  }
  if (leads()) {
    say_(fmt::format("keeping the streams of block {} for the next start ({})", kept.block,
                     size_words(frontier.bytes)));
  }
  // The parts of an earlier stop are overwritten: the list of them must be gone before.
  std::string part;
  std::string trouble = first_of(trouble_of([&] {
    if (leads()) files_.forget();
  }));
  if (trouble.empty()) {
    trouble = first_of(trouble_of([&] { part = files_.write_part(replicas_.rank(), tensors); }));
  }
  frontier.parts = gather_texts(replicas_, part);
  if (!leads()) return;
  if (trouble.empty()) {
    trouble = trouble_of([&] {
      frontier.made_by = packed_chain(*state_, kept.block, kept.turn);
      files_.keep(frontier);
      files_.remove_other_parts(frontier);
    });
  }
  if (!trouble.empty()) say_(fmt::format("the streams are not kept: {}", trouble));
}

}  // namespace bitmill
