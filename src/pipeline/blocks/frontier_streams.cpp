#include "pipeline/blocks/frontier_streams.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <mutex>
#include <utility>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/stopwatch.hpp"
#include "comm/gather.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// "block 12 at turn 0, block 11 at turn 1": where the turns go on.
std::string places_of(const KeptStreams& streams, const Plan& plan) {
  std::map<int, int> blocks;  // by turn
  for (const StreamId& stream : streams) {
    if (stream.turn != StreamId::of_teacher) blocks[stream.turn] = stream.block;
  }
  std::vector<std::string> places;
  for (const auto& [turn, block] : blocks) {
    places.push_back(plan.turns() > 1 ? fmt::format("block {} at turn {}", block, turn)
                                      : fmt::format("block {}", block));
  }
  return places.empty() ? "the teacher" : fmt::format("{}", fmt::join(places, ", "));
}

int deepest_block(const KeptStreams& streams) {
  int deepest = 0;
  for (const StreamId& stream : streams) {
    if (stream.turn != StreamId::of_teacher) deepest = std::max(deepest, stream.block);
  }
  return deepest;
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

// The rank that writes the samples of `replica`: of two stages that both hold them, the first. -1
// where none does.
int holder_of(const StreamId& stream, int replica, const Mesh& mesh,
              const std::vector<std::vector<StreamId>>& held) {
  for (int stage = 0; stage < mesh.stages; ++stage) {
    const int rank = mesh.rank_of(stage, replica);
    if (std::ranges::count(held[static_cast<size_t>(rank)], stream) > 0) return rank;
  }
  return -1;
}

// The streams that some rank of every replica holds. A replica without samples need not.
KeptStreams whole_streams(const std::vector<std::vector<StreamId>>& held,
                          const std::vector<int64_t>& own_counts, const Mesh& mesh) {
  KeptStreams whole;
  for (const std::vector<StreamId>& one : held) whole.insert(one.begin(), one.end());
  std::erase_if(whole, [&](const StreamId& stream) {
    for (int replica = 0; replica < mesh.replicas; ++replica) {
      const bool needed = own_counts[static_cast<size_t>(replica)] > 0;
      if (needed && holder_of(stream, replica, mesh, held) < 0) return true;
    }
    return false;
  });
  return whole;
}

KeptStreams of_all_ranks(Communicator& comm, const KeptStreams& mine) {
  KeptStreams all;
  const std::vector<StreamId> list(mine.begin(), mine.end());
  for (const std::vector<StreamId>& theirs : gather_values<StreamId>(comm, list)) {
    all.insert(theirs.begin(), theirs.end());
  }
  return all;
}

// The others have none of their own.
KeptStreams from_rank_0(Communicator& comm, const KeptStreams& streams) {
  return of_all_ranks(comm, comm.rank() == 0 ? streams : KeptStreams());
}

// The first text of any rank that is not empty.
std::string first_text(Communicator& comm, const std::string& text) {
  for (const std::string& one : gather_texts(comm, text)) {
    if (!one.empty()) return one;
  }
  return "";
}

}  // namespace

FrontierStreams::FrontierStreams(FrontierFiles& files, const RunState* state, const Plan& plan,
                                 MeshRank& rank, const SampleShare& share, int64_t sample_bytes,
                                 ThreadPool& pool, Say say, int64_t room_of_a_start)
    : files_(files),
      state_(state),
      plan_(plan),
      rank_(rank),
      share_(share),
      sample_bytes_(sample_bytes),
      pool_(pool),
      say_(std::move(say)),
      room_of_a_start_(room_of_a_start) {}

void FrontierStreams::remove_all_but(const KeptStreams& used, const FrontierStock& stock) {
  for (const KeptStream& one : stock.rest) files_.remove(one);
  for (const auto& [stream, kept] : stock.usable) {
    if (!used.contains(stream)) files_.remove(kept);
  }
}

KeptStreams FrontierStreams::choose(const std::vector<BlockDone>& done) {
  KeptStreams used;
  FrontierStock unused;
  const std::string trouble = trouble_of([&] {
    FrontierStock stock = take_stock(files_, *state_, plan_, done, share_.samples());
    const KeptStreams there = stock.streams();
    used = Remaining(plan_, done, there).used();
    if (!stock.troubles.empty()) {
      say_(fmt::format("{} of the kept streams cannot be used: {}", stock.troubles.size(),
                       stock.troubles.front()));
    }
    if (used.size() < there.size()) {
      say_(
          fmt::format("this start uses {} of {} kept streams: it goes on in another order than the "
                      "one that kept them, or has come further",
                      used.size(), there.size()));
    }
    unused = std::move(stock);
  });
  if (!trouble.empty()) say_("the kept streams cannot be used: " + trouble);
  const std::string left = trouble_of([&] { remove_all_but(used, unused); });
  if (!left.empty()) say_("streams that this start does not use stay in the run folder: " + left);
  return used;
}

std::map<StreamId, std::string> FrontierStreams::look_for_damage() const {
  std::mutex mutex;
  std::map<StreamId, std::string> damaged;
  int64_t passed = 0;  // samples of the streams before
  for (const auto& [stream, kept] : kept_) {
    const auto note = [&, &stream = stream](const std::string& trouble) {
      const std::lock_guard lock(mutex);
      if (!trouble.empty()) damaged.emplace(stream, trouble);
    };
    std::vector<int64_t> mine;  // over all streams, every rank gets as many
    for (int64_t sample = 0; sample < share_.samples(); ++sample) {
      if ((passed + sample) % all().size() == all().rank()) mine.push_back(sample);
    }
    passed += share_.samples();
    note(trouble_of([&, &kept = kept] {
      const FrontierReader reader(files_, kept);
      pool_.parallel_for(std::ssize(mine), [&](int64_t i) {
        std::vector<std::byte> bytes(static_cast<size_t>(sample_bytes_));
        note(trouble_of([&] { reader.read(mine[static_cast<size_t>(i)], bytes); }));
      });
    }));
  }
  return damaged;
}

KeptStreams FrontierStreams::find(const std::vector<BlockDone>& done) {
  KeptStreams chosen;
  if (leads()) chosen = choose(done);
  chosen = from_rank_0(all(), chosen);
  if (chosen.empty()) return {};
  const Stopwatch watch;
  std::map<std::string, KeptStream> there;
  trouble_of([&] { there = files_.list(); });
  // One that this rank does not see has no parts, which look_for_damage() finds.
  for (const StreamId& stream : chosen) kept_[stream] = there[file_name_of(stream)];
  const std::map<StreamId, std::string> damaged = look_for_damage();
  KeptStreams own;
  for (const auto& [stream, trouble] : damaged) own.insert(stream);
  const KeptStreams all_damaged = of_all_ranks(all(), own);
  const std::string first = first_text(all(), own.empty() ? "" : damaged.begin()->second);
  KeptStreams sound = chosen;
  for (const StreamId& stream : all_damaged) sound.erase(stream);
  const KeptStreams used = Remaining(plan_, done, sound).used();
  int64_t bytes = 0;
  for (const StreamId& stream : chosen) {
    if (used.contains(stream)) {
      bytes += kept_[stream].bytes;
    } else if (leads()) {
      trouble_of([&] { files_.remove(kept_[stream]); });
    }
  }
  if (leads() && !first.empty()) {
    say_(fmt::format("{} of the kept streams cannot be used: {}", all_damaged.size(), first));
  }
  if (leads() && !used.empty()) {
    say_(
        fmt::format("the streams of {} were kept and are read ({}, compared with their hashes in "
                    "{:.2f} s)",
                    places_of(used, plan_), format_bytes(bytes), watch.seconds()));
  }
  return used;
}

void FrontierStreams::read(const StreamId& stream, SampleStream& into) const {
  const FrontierReader reader(files_, kept_.at(stream));
  pool_.parallel_for(share_.own_count(), [&](int64_t i) {
    const at::Tensor room = into.room();
    reader.read(share_.own()[static_cast<size_t>(i)], bytes_of(room));
    into.store(i, room);
  });
}

// A start is refused without that room (check_folders()), and the user would have to free as much
// as the streams take. Replaying costs less.
bool FrontierStreams::leaves_room(int64_t bytes, int64_t to_be_removed) const {
  const int64_t free = files_.free_bytes() + to_be_removed;
  if (bytes + room_of_a_start_ <= free) return true;
  say_(fmt::format(
      "the streams are not kept: they take {}, the next start must find {} beside them, "
      "and {} are free",
      format_bytes(bytes), format_bytes(room_of_a_start_), format_bytes(free)));
  return false;
}

std::vector<FrontierStreams::Order> FrontierStreams::decide(const KeptStreams& held,
                                                            const ResumeCosts& costs) {
  const std::vector<BlockDone> done = committed_blocks(*state_, plan_);
  const FrontierStock stock = take_stock(files_, *state_, plan_, done, share_.samples());
  KeptStreams at_hand = stock.streams();
  at_hand.insert(held.begin(), held.end());
  const KeptStreams used = Remaining(plan_, done, at_hand).used();
  std::vector<Order> orders;
  if (!costs.keeps(deepest_block(used))) return orders;
  for (const StreamId& stream : used) {
    if (stock.usable.contains(stream)) continue;
    Order& order = orders.emplace_back(Order{stream, {}});
    if (stream.turn == StreamId::of_teacher) continue;
    const std::string chain = packed_chain(*state_, stream.block, stream.turn);
    assert(chain.size() < order.made_by.size());
    std::ranges::copy(chain, order.made_by.begin());
  }
  const int64_t bytes = std::ssize(orders) * share_.samples() * sample_bytes_;
  if (orders.empty() || !leaves_room(bytes, stock.bytes_besides(used))) return {};
  say_(fmt::format("keeping the streams of {} for the next start ({})", places_of(used, plan_),
                   format_bytes(bytes)));
  remove_all_but(used, stock);
  return orders;
}

void FrontierStreams::write_part(const Order& order, const SampleStream& stream) {
  const at::Tensor like = stream.room();
  const std::vector<int64_t> shape(like.sizes().begin(), like.sizes().end());
  std::vector<TensorSource> samples;
  for (int64_t i = 0; i < share_.own_count(); ++i) {
    samples.push_back({std::to_string(share_.own()[static_cast<size_t>(i)]),
                       dtype_of(like.scalar_type()), shape, [&stream, i](const ByteSink& sink) {
                         stream.prefetch(i + 1);
                         sink(bytes_of(stream.load_kept(i)));
                       }});
  }
  files_.write_part(file_name_of(order.stream), order.made_by.data(), rank_.replica(), samples);
}

// After a failure: a full disk needs the room.
void FrontierStreams::remove_incomplete() {
  trouble_of([&] {
    for (const auto& [name, kept] : files_.list()) {
      if (kept.samples != share_.samples() || !kept.trouble.empty()) files_.remove(kept);
    }
  });
}

void FrontierStreams::write(const Held& held, const ResumeCosts& costs) {
  std::vector<StreamId> mine;
  for (const auto& [stream, samples] : held) mine.push_back(stream);
  const std::vector<std::vector<StreamId>> everyone = gather_values<StreamId>(all(), mine);
  const std::vector<int64_t> own_counts = gather_value(all(), share_.own_count());
  std::vector<Order> orders;
  std::string trouble;
  if (leads()) {
    trouble = trouble_of(
        [&] { orders = decide(whole_streams(everyone, own_counts, rank_.mesh()), costs); });
  }
  orders = gather_values<Order>(all(), orders).front();
  for (const Order& order : orders) {
    if (holder_of(order.stream, rank_.replica(), rank_.mesh(), everyone) != all().rank()) continue;
    const std::string own = trouble_of([&] { write_part(order, *held.at(order.stream)); });
    if (trouble.empty()) trouble = own;
  }
  trouble = first_text(all(), trouble);
  if (!leads() || trouble.empty()) return;
  say_("the streams are not kept: " + trouble);
  remove_incomplete();
}

}  // namespace bitmill
