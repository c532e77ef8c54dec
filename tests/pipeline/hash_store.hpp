#pragma once
// What leaves a HashCompute: into the run folder (HashStore), and to the next stage (HashBox).

#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "pipeline/blocks/executor.hpp"
#include "pipeline/streams/stream_link.hpp"

namespace bitmill::testing_chain {

inline std::string hash_of(std::initializer_list<std::string> parts) {
  Hasher hasher;
  for (const std::string& part : parts) hasher.add_text(part);
  return hasher.hex();
}

// Takes the place of the run folder: what is in it survives a start. Copies use the same mutex.
struct HashStore {
  std::map<int, std::pair<Progress, std::string>> live;  // by block
  std::map<std::pair<int, int>, std::string> packed;     // by (block, turn)
  std::map<StreamId, std::string> kept;                  // by all stops
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();

  // What a start uses.
  KeptStreams kept_for(const Plan& plan) const {
    KeptStreams all;
    for (const auto& [stream, hash] : kept) all.insert(stream);
    return Remaining(plan, done(plan), all).used();
  }

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

inline constexpr size_t hash_digits_sent = 32;

// A box of one or two hashes, one after the other, each in two samples.
class HashBox final : public StreamBox {
 public:
  HashBox(int block, int turn, std::string text)
      : block_(block), turn_(turn), text_(std::move(text)) {}
  int block() const { return block_; }
  int turn() const { return turn_; }
  // The teacher's hash; empty where only the student's travels.
  std::string teacher() const {
    return text_.size() > hash_digits_sent ? text_.substr(0, hash_digits_sent) : "";
  }
  std::string student() const { return text_.substr(text_.size() - hash_digits_sent); }

  static at::Tensor room() { return at::empty({16}, at::kByte); }

  int64_t count() const override { return std::ssize(text_) / 16; }
  at::Tensor read(int64_t i) override {
    at::Tensor sample = room();
    std::memcpy(sample.data_ptr(), text_.data() + 16 * i, 16);
    return sample;
  }
  void keep(int64_t i, const at::Tensor& sample) override {
    std::memcpy(text_.data() + 16 * i, sample.data_ptr(), 16);
  }

 private:
  const int block_, turn_;
  std::string text_;
};

}  // namespace bitmill::testing_chain
