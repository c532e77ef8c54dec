#pragma once
// A Compute without tensors: streams, learned values and packed blocks are hashes of everything
// they depend on, so two runs agree exactly when they did the same work on the same inputs, in
// whatever order and on however many ranks. It throws when an input is not there.

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "pipeline/executor.hpp"

namespace bitmill::testing_chain {

inline std::string hash_of(std::initializer_list<std::string> parts) {
  Hasher hasher;
  for (const std::string& part : parts) hasher.add_text(part);
  return hasher.hex();
}

// What survives a start, in the place of the run folder.
struct HashStore {
  std::map<int, std::pair<Progress, std::string>> live;  // by block
  std::map<std::pair<int, int>, std::string> packed;     // by (block, turn)

  std::vector<BlockDone> done(const Plan& plan) const {
    std::vector<BlockDone> all;
    for (int block = 0; block < plan.blocks; ++block) {
      BlockDone one;
      while (packed.contains({block, one.turns})) ++one.turns;
      if (const auto it = live.find(block); it != live.end()) {
        one.epochs = it->second.first.epochs;
        one.steps = it->second.first.steps;
      }
      all.push_back(usable(one, plan));
    }
    return all;
  }
};

class HashCompute final : public Compute {
 public:
  explicit HashCompute(int64_t steps_per_epoch, HashStore left = {})
      : store(std::move(left)), steps_per_epoch_(steps_per_epoch) {}

  HashStore store;

  void embed(int turn) override {
    record("embed {}", turn);
    streams_[turn] = {0, hash_of({"teacher"}), hash_of({"student"})};
  }

  void load(int block) override {
    record("load {}", block);
    require(resident_.emplace(block, std::string()).second, "is already resident", block);
  }

  void teach(int block, int turn, bool saved) override {
    record("teach {} {}", block, turn);
    std::string& targets = resident(block);
    const Streams& streams = streams_at(block, turn);
    if (saved) {
      learned_[block] = store.live.at(block).second;
    } else {
      learned_[block] = hash_of({"prepare", id(block), streams.teacher});
    }
    targets = hash_of({"targets", id(block), streams.teacher, streams.student});
  }

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }

  void train_step(const Position& at) override {
    record("train {} turn {} epoch {} step {}", at.block, at.turn, at.epoch, at.step);
    std::string& learned = learned_.at(at.block);
    learned = hash_of({"step", id(at.epoch), id(at.step), resident(at.block), learned});
  }

  // Made of the learned hash, exact in double.
  double finish_epoch(const Position& at) override {
    record("finish {} turn {} epoch {} steps {}", at.block, at.turn, at.epoch, at.step);
    return static_cast<double>(std::stoul(learned_.at(at.block).substr(0, 8), nullptr, 16));
  }

  void pack(int block, int turn) override {
    record("pack {} {}", block, turn);
    resident(block);
    packed_[{block, turn}] = hash_of({"pack", learned_.at(block)});
    store.packed[{block, turn}] = packed_[{block, turn}];
  }

  void save(const Progress& done) override {
    store.live[done.block] = {done, learned_.at(done.block)};
  }

  void pass(int block, int turn) override {
    record("pass {} {}", block, turn);
    resident(block);
  }

  void reload(int block, int turn) override {
    record("reload {} {}", block, turn);
    packed_[{block, turn}] = store.packed.at({block, turn});
  }

  void forward(int block, int turn) override {
    record("forward {} {}", block, turn);
    resident(block);
    const Streams from = streams_at(block, turn);
    streams_[turn] = {block + 1, hash_of({"teacher", id(block), from.teacher}),
                      hash_of({"student", packed_.at({block, turn}), from.student})};
  }

  void drop(int block) override {
    record("drop {}", block);
    resident(block);
    resident_.erase(block);
  }

  // In the order of the calls; see record() for the words.
  const std::vector<std::string>& calls() const { return calls_; }
  // (block, turn) -> what was packed; the last turn is the result.
  const std::map<std::pair<int, int>, std::string>& packed() const { return packed_; }

 private:
  struct Streams {
    int block = 0;  // that reads them next
    std::string teacher;
    std::string student;
  };

  template <class Number>
  static std::string id(Number number) {
    return std::to_string(number);
  }

  template <class... Values>
  void record(fmt::format_string<Values...> words, Values... values) {
    calls_.push_back(fmt::format(words, std::forward<Values>(values)...));
  }

  static void require(bool condition, const char* what, int block) {
    if (!condition) throw std::logic_error(fmt::format("block {} {}", block, what));
  }

  // The targets of a resident block.
  std::string& resident(int block) {
    const auto it = resident_.find(block);
    require(it != resident_.end(), "is not resident", block);
    return it->second;
  }

  const Streams& streams_at(int block, int turn) const {
    const auto it = streams_.find(turn);
    require(it != streams_.end() && it->second.block == block, "has no stream of this turn", block);
    return it->second;
  }

  const int64_t steps_per_epoch_;
  std::vector<std::string> calls_;
  std::map<int, Streams> streams_;       // by turn
  std::map<int, std::string> resident_;  // block -> targets
  std::map<int, std::string> learned_;   // by block, kept from turn to turn
  std::map<std::pair<int, int>, std::string> packed_;
};

}  // namespace bitmill::testing_chain
