#pragma once
// A Compute without a model. Streams, learned values and packed blocks are hashes of everything
// they depend on. So two runs have equal hashes exactly when they did the same work on the same
// inputs, in any order and on any number of ranks. It throws when an input is missing.

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "pipeline/blocks/executor.hpp"
#include "pipeline/hash_store.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/streams/stream_link.hpp"

namespace bitmill::testing_chain {

class HashCompute final : public Compute {
 public:
  // `store` outlives it. Without `rank` there is only one rank.
  HashCompute(const Plan& plan, int64_t steps_per_epoch, HashStore& store, MeshRank* rank = nullptr)
      : plan_(plan), steps_per_epoch_(steps_per_epoch), store_(store), rank_(rank) {
    if (rank == nullptr || rank->mesh().stages == 1) return;
    link_.emplace(*rank, HashBox::room, plan.link_capacity);
  }

  void embed(int turn) override {
    record("embed {}", turn);
    students_[{0, turn}] = hash_of({"student"});
    if (plan_.begins_band(turn)) teachers_[0] = hash_of({"teacher"});
  }

  void load(int block) override {
    record("load {}", block);
    require(resident_ < 0, "comes while another is resident", block);
    resident_ = block;
  }

  void teach(int block, int turn, bool saved) override {
    record("teach {} {}", block, turn);
    visit(block, turn);
    settle_together();
    const std::lock_guard lock(*store_.mutex);
    learned_ = saved ? store_.live.at(block).second : hash_of({"prepare", targets_.at(block)});
  }

  int64_t steps_per_epoch() const override { return steps_per_epoch_; }

  void train_step(const Position& at) override {
    record("train {} turn {} epoch {} step {}", at.block, at.turn, at.epoch, at.step);
    require(resident_ == at.block, "is not resident", at.block);
    learned_ =
        hash_of({"step", id(at.epoch), id(at.step), targets_.at(at.block), student_, learned_});
    if (link_) link_->pump();
  }

  // Returns a loss made from the learned hash; its value is exact in double.
  double finish_epoch(const Position& at) override {
    record("finish {} turn {} epoch {} steps {}", at.block, at.turn, at.epoch, at.step);
    return static_cast<double>(std::stoul(learned_.substr(0, 8), nullptr, 16));
  }

  // As with a writer of its own: a state is under way until the next one is saved or until
  // settle(), and a start that dies loses it. A packed block is under way together with it.
  void save_epoch(const Progress& done, const FinishedEpoch& epoch) override {
    record("save {} epochs {} steps {}", done.block, done.epochs, done.steps);
    require(epoch.at.block == done.block && epoch.at.epoch + 1 == done.epochs,
            "was saved with another epoch's line", done.block);
    commit();
    begin([this, done, learned = learned_] { store_.live[done.block] = {done, learned}; });
  }
  void save_steps(const Progress& done) override {
    record("save {} epochs {} steps {}", done.block, done.epochs, done.steps);
    commit();
    begin([this, done, learned = learned_] { store_.live[done.block] = {done, learned}; });
    commit();
  }
  void settle() override { commit(); }
  double seconds_to_leave() const override { return 0; }

  void pack(int block, int turn) override {
    record("pack {} {}", block, turn);
    packed_ = hash_of({"pack", learned_});
    begin([this, block, turn, packed = packed_] {
      const auto [there, fresh] = store_.packed.emplace(std::pair(block, turn), packed);
      require(fresh || there->second == packed, "was packed in another way before", block);
    });
  }

  void pass(int block, int turn) override {
    record("pass {} {}", block, turn);
    visit(block, turn);
  }

  void reload(int block, int turn) override {
    record("reload {} {}", block, turn);
    settle_together();
    const std::lock_guard lock(*store_.mutex);
    packed_ = store_.packed.at({block, turn});
  }

  void forward(int block, int turn, bool wanted) override {
    record("forward {} {}", block, turn);
    visit_block_ = -1;
    require(resident_ == block, "is not resident", block);
    if (!wanted) return;
    students_[{block + 1, turn}] = hash_of({"student", packed_, student_});
    if (plan_.begins_band(turn)) teachers_[block + 1] = targets_.at(block);
  }

  void drop(int block, bool comes_back) override {
    record("drop {}", block);
    require(resident_ == block, "is not resident", block);
    resident_ = -1;
    visit_block_ = -1;
    if (!comes_back) targets_.erase(block);
  }

  bool has_arrived(int /*block*/, int /*turn*/) override {
    link_->pump();
    return link_->has_arrived();
  }

  void receive(int block, int turn) override {
    record("receive {} {}", block, turn);
    const auto box = link_->take();
    require(static_cast<const HashBox&>(*box).block() == block, "was not sent next", block);
    put(static_cast<const HashBox&>(*box));
  }

  bool has_room() override {
    link_->pump();
    return link_->has_room();
  }

  void send(int block, int turn) override {
    record("send {} {}", block, turn);
    commit();
    std::string text;
    if (plan_.begins_band(turn)) text += teachers_.extract(block + 1).mapped();
    text += students_.extract({block + 1, turn}).mapped();
    link_->send(std::make_shared<HashBox>(block + 1, turn, std::move(text)));
  }

  bool all_sent() override {
    if (busy_ > 0) {
      --busy_;
      return false;
    }
    if (!link_) return true;
    link_->pump();
    return link_->all_sent();
  }

  void expect(int block, int turn) override {
    const size_t digits = (plan_.begins_band(turn) ? 2 : 1) * hash_digits_sent;
    link_->expect(static_cast<int64_t>(digits) / 16, [block, turn, digits] {
      return std::make_shared<HashBox>(block, turn, std::string(digits, ' '));
    });
  }

  void take_kept(const KeptUse& use) override {
    const std::lock_guard lock(*store_.mutex);
    const std::string& hash = store_.kept.at(use.stream);
    const auto [block, turn] = use.stream;
    switch (use.role) {
      case KeptUse::Role::student:
        students_[{block, turn}] = hash;
        return;
      case KeptUse::Role::teacher:
        teachers_[block] = hash;
        return;
      case KeptUse::Role::targets:
        targets_[block - 1] = hash;
        return;
    }
  }

  void leave_streams(const std::function<void()>& expect_next) override {
    if (!link_) return;
    for (const auto& box : link_->leave(expect_next)) put(static_cast<const HashBox&>(*box));
  }

  void keep_streams() override {
    if (!keeps_) return;
    for (const auto& [at, hash] : students_) keep(student_stream(at.first, at.second), hash);
    for (const auto& [block, hash] : teachers_) keep(teacher_stream(block), hash);
    for (const auto& [block, hash] : targets_) keep(teacher_stream(block + 1), hash);
    if (visit_block_ >= 0) keep(student_stream(visit_block_, visit_turn_), student_);
  }
  void never_keep_streams() { keeps_ = false; }

  // All calls in their order. Each one has its words where it calls record().
  const std::vector<std::string>& calls() const { return calls_; }
  // After this many calls, the next one throws CommError, as if its process had died.
  void die_after(size_t calls) { die_after_ = calls; }
  // all_sent() returns false for the next `questions` calls.
  void stay_busy(int questions) { busy_ = questions; }
  // Number of streams, targets and blocks in memory. It must be 0 when a run has ended.
  size_t left_over() const {
    return students_.size() + teachers_.size() + targets_.size() + (resident_ >= 0 ? 1 : 0);
  }

 private:
  template <class Number>
  static std::string id(Number number) {
    return std::to_string(number);
  }

  template <class... Values>
  void record(fmt::format_string<Values...> words, Values... values) {
    if (die_after_ && calls_.size() >= *die_after_) throw CommError("this process died");
    calls_.push_back(fmt::format(words, std::forward<Values>(values)...));
  }

  static void require(bool condition, const char* what, int block) {
    if (!condition) throw std::logic_error(fmt::format("block {} {}", block, what));
  }

  bool writes() const { return rank_ == nullptr || rank_->leads(); }

  void begin(std::function<void()> commit) {
    if (writes()) under_way_.push_back(std::move(commit));
  }
  void commit() {
    const std::lock_guard lock(*store_.mutex);
    for (const std::function<void()>& one : under_way_) one();
    under_way_.clear();
  }

  // Before something is read back: here every replica reads the store itself, so all of them wait
  // for the leader.
  void settle_together() {
    commit();
    if (rank_ != nullptr) rank_->replicas().barrier();
  }

  void put(const HashBox& box) {
    if (const std::string teacher = box.teacher(); !teacher.empty()) {
      teachers_[box.block()] = teacher;
    }
    students_[{box.block(), box.turn()}] = box.student();
  }

  // A stream is the same whoever keeps it.
  void keep(const StreamId& stream, const std::string& hash) {
    const std::lock_guard lock(*store_.mutex);
    const auto [there, fresh] = store_.kept.emplace(stream, hash);
    require(fresh || there->second == hash, "was kept with another stream before", stream.block);
  }

  void visit(int block, int turn) {
    visit_block_ = block;
    visit_turn_ = turn;
    require(resident_ == block, "is not resident", block);
    const auto student = students_.extract({block, turn});
    require(!student.empty(), "has no stream of this turn", block);
    student_ = student.mapped();
    if (plan_.begins_band(turn) && !targets_.contains(block)) {
      const auto teacher = teachers_.extract(block);
      require(!teacher.empty(), "has no stream of the teacher", block);
      targets_[block] = hash_of({"teacher", id(block), teacher.mapped()});
    }
    require(targets_.contains(block), "has no targets", block);
  }

  const Plan& plan_;
  const int64_t steps_per_epoch_;
  HashStore& store_;
  MeshRank* const rank_;
  std::optional<StreamLink> link_;
  std::optional<size_t> die_after_;
  int busy_ = 0;
  std::vector<std::string> calls_;
  std::vector<std::function<void()>> under_way_;
  std::map<std::pair<int, int>, std::string> students_;  // by reading block and turn
  std::map<int, std::string> teachers_;                  // by reading block
  std::map<int, std::string> targets_;                   // by block
  int resident_ = -1;
  int visit_block_ = -1, visit_turn_ = 0;  // from teach() or pass() to forward()
  bool keeps_ = true;
  std::string student_, learned_, packed_;  // of the resident block
};

}  // namespace bitmill::testing_chain
