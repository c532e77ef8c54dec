#include "pipeline/checks/measure_machine.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.hpp"
#include "base/error.hpp"
#include "base/pieces.hpp"
#include "base/stopwatch.hpp"
#include "comm/gather.hpp"
#include "model/family.hpp"
#include "pipeline/blocks/block_compute.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {
namespace {

double seconds_of(const std::function<void()>& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

// REQUIRES: at least one value.
double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The mean of the times that one() returns. A mean, because a run meets every delay of the machine,
// too. one() is called once first, to fill caches, then at least three times, for about `budget_s`
// seconds in all.
double mean_of(double budget_s, const std::function<double()>& one) {
  constexpr size_t fewest = 3, most = 1000;
  one();
  std::vector<double> all;
  const Stopwatch watch;
  while (all.size() < fewest || (watch.seconds() < budget_s && all.size() < most)) {
    all.push_back(one());
  }
  return mean(all);
}

// Collective: the mean of every rank's value, on every rank.
double mean_of_ranks(Communicator& comm, double mine) {
  double sum = 0;
  for (const double theirs : gather_value(comm, mine)) sum += theirs;
  return sum / comm.size();
}

// A difference of two measured times that is shorter than this means nothing.
constexpr double shortest_s = 1e-6;

// Any tokens will do: the time of the computing does not depend on them.
Windows made_up_windows(int64_t count, int64_t seq_len, int64_t vocab) {
  Windows windows{count, seq_len, {}};
  for (int64_t i = 0; i < count * seq_len; ++i) {
    windows.ids.push_back(static_cast<int32_t>(i * 7919 % vocab));
  }
  return windows;
}

// Options of a run with two turns of one block. Only parts of it are carried out.
QuantizeOptions trial_options(QuantizeOptions options, int threads) {
  options.max_blocks = 0;
  options.epochs = 2;
  options.lag = 1;
  // So large that every thread has a sample of its own.
  options.batch = std::max<int64_t>(options.batch, threads);
  return options;
}

// Two whole steps, and one step of a single sample.
int64_t trial_samples(const QuantizeOptions& trial) {
  return trial.batch == 1 ? 8 : 2 * trial.batch + 1;
}

// Removes the trial folder at the end, also after an error.
class TrialFolder {
 public:
  TrialFolder(Files& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~TrialFolder() {
    try {
      files_.remove_tree(path_);
    } catch (const FileError&) {
      // If there is an error already, that one is reported. If not, the measured rates are right
      // anyway.
    }
  }
  TrialFolder(const TrialFolder&) = delete;
  TrialFolder& operator=(const TrialFolder&) = delete;

 private:
  Files& files_;
  const std::string path_;
};

// The trial of one rank. What it holds lives until the measuring ends.
class Trial {
 public:
  Trial(const QuantizeOptions& options, Files& files, const std::string& folder, Communicator& comm,
        ThreadPool& pool, double budget_s)
      : budget_s_(budget_s),
        trial_(trial_options(options, pool.size())),
        model_(files, options.model, options.reading),
        work_(workload_of(options, model_.config())),
        windows_(made_up_windows(trial_samples(trial_), work_.seq_len, model_.config().vocab_size)),
        backend_(make_backend(options.backend)),
        device_(cpu_device(pool)),
        rotary_(make_rotary(model_.config(), windows_.seq_len)),
        claim_(Claim::take(files, folder, this_process("", ""), {}, [](const std::string&) {})),
        run_dir_(files, *claim_),
        writer_(run_dir_, /*beside=*/false),
        budget_(files, INT64_MAX, join_path(folder, "streams")),
        alone_(comm.split(comm.rank())),
        rank_({1, 1}, *alone_),
        plan_(make_plan(1, 2, 1, 1, Walk::sweep)),
        comm_(comm),
        pool_(pool),
        compute_({trial_, plan_, model_, windows_, *device_, *backend_, &writer_,
                  /*save_beside=*/false, nullptr, budget_, rank_, pool, silent_}) {
    run_dir_.begin({"{}", {}});
  }

  // The order matters: training needs a block that was made ready, and measure_turn() reads back
  // what measure_training() saved.
  void measure(Machine& machine) {
    measure_memory(machine);
    measure_disk(machine);
    measure_forward(machine);
    measure_training(machine);
    measure_turn(machine);
    measure_link(machine);
  }

 private:
  int64_t steps() const { return compute_.steps_per_epoch(); }

  // The mean over the ranks, which begin at the same time.
  double together(const std::function<double()>& seconds) {
    comm_.barrier();
    return mean_of_ranks(comm_, seconds());
  }

  // The vectors are too large for any cache.
  void measure_memory(Machine& machine) {
    constexpr size_t count = size_t{8} << 20;
    std::vector<float> a(count, 0.F), b(count, 1.F), c(count, 2.F);
    const double seconds = together([&] {
      return mean_of(0.02 * budget_s_, [&] {
        return seconds_of([&] {
          for (size_t i = 0; i < count; ++i) a[i] = a[i] * 0.5F + b[i] * c[i];
        });
      });
    });
    constexpr double passes = 4;  // three are read and one is written
    machine.memory_bytes_per_s = passes * count * sizeof(float) / seconds;
  }

  void measure_disk(Machine& machine) {
    constexpr int64_t small = 4096, large = int64_t{32} << 20;
    const double latency = together(
        [&] { return mean_of(0.03 * budget_s_, [&] { return run_dir_.rehearse_save(small); }); });
    double hashing = 0, rounds = 0;
    const double whole = together([&] {
      return mean_of(0.05 * budget_s_, [&] {
        double writing = 0;
        // rehearse_save() returns the time of writing. The rest is reading back and hashing.
        hashing += seconds_of([&] { writing = run_dir_.rehearse_save(large); }) - writing;
        ++rounds;
        return writing;
      });
    });
    machine.hash_bytes_per_s =
        static_cast<double>(large) / std::max(mean_of_ranks(comm_, hashing / rounds), shortest_s);
    machine.write_latency_s = latency;
    machine.write_bytes_per_s = static_cast<double>(large) / std::max(whole - latency, shortest_s);
  }

  // load() reads the weights and also hashes them, as a run does when it reads them for the first
  // time.
  void measure_forward(Machine& machine) {
    const double load = together([&] { return seconds_of([&] { compute_.load(0); }); });
    machine.read_bytes_per_s = static_cast<double>(work_.source_bytes) / load;
    compute_.drop(0, false);
    const double forward = together([&] {
      return mean_of(0.2 * budget_s_, [&] {
        begin_visit(0);
        const double pass = seconds_of([&] { compute_.pass(0, 0); });
        compute_.drop(0, false);
        return pass;
      });
    });
    machine.forward_flops_per_s =
        static_cast<double>(windows_.count) * work_.forward_flops / (forward * pool_.size());
  }

  void begin_visit(int turn) {
    compute_.embed(turn);
    compute_.load(0);
  }

  void measure_training(Machine& machine) {
    begin_visit(0);
    compute_.teach(0, 0, false);
    measure_steps(machine);
    compute_.finish_epoch({0, 0, 0, steps()});
    compute_.save_epoch({0, 1, steps()}, {});
    compute_.settle();
    compute_.drop(0, false);
  }

  // Restores a saved block, and packs it. Making a block ready for the first time does the same
  // work on its weights as restoring it.
  void measure_turn(Machine& machine) {
    double packing = 0, rounds = 0;
    const double restoring = together([&] {
      return mean_of(0.15 * budget_s_, [&] {
        LiveBlock live(model_, model_.load_block(0), 0, trial_, steps(), *alone_, *device_);
        const double once =
            seconds_of([&] { live.restore(&run_dir_, backend_.get(), rotary_, windows_.count); });
        packing += seconds_of([&] {
          live.pack();
          run_dir_.write_packed(0, 0, false, live.packed_tensors());
          live.deployed_weights();
        });
        ++rounds;
        return once;
      });
    });
    const double writing = machine.write_latency_s +
                           static_cast<double>(work_.packed_bytes) / machine.write_bytes_per_s;
    const double pack = mean_of_ranks(comm_, packing / rounds) - writing;
    machine.prepare_weights_per_s = prepare_rate(work_, machine, restoring);
    machine.pack_weights_per_s = static_cast<double>(work_.weights) / std::max(pack, shortest_s);
  }

  // Measures steps one after the other, as in an epoch: steps of a whole batch, and, where the
  // batch is larger than one sample, steps of one sample.
  void measure_steps(Machine& machine) {
    std::vector<double> whole, single;
    const double adam_s = adam_seconds(work_, machine, 1);
    const int threads = pool_.size();
    comm_.barrier();
    const Stopwatch watch;
    for (int round = 0; round < 2 || watch.seconds() < 0.5 * budget_s_; ++round) {
      for (int64_t step = 0; step < steps(); ++step) {
        const bool one = trial_.batch > 1 && step + 1 == steps();
        (one ? single : whole).push_back(seconds_of([&] { compute_.train_step({0, 0, 0, step}); }));
      }
    }
    const int64_t rounds = piece_count(trial_.batch, threads);
    const double unit = (mean_of_ranks(comm_, mean(whole)) - adam_s) / static_cast<double>(rounds);
    machine.unit_flops_per_s = work_.unit_flops / std::max(unit, shortest_s);
    machine.unit_s = 0;
    machine.launch_s = 0;  // the rates above are those of whole samples
    // Collective, so it cannot depend on the threads of this rank. With one thread a batch of one
    // sample has no step that is measured alone.
    const double single_s = mean_of_ranks(comm_, mean(single.empty() ? whole : single));
    if (threads == 1) return;
    const double alone = std::max(single_s - adam_s, shortest_s);
    machine.thread_gain = std::max(0.0, (unit / alone - 1) / (threads - 1));
  }

  // Rank 0 and rank 1 answer each other's messages.
  void measure_link(Machine& machine) {
    if (comm_.size() == 1) return;
    const auto bytes = static_cast<size_t>(work_.seq_len * work_.hidden * work_.stream_bytes);
    const double latency = one_way_seconds(8);
    const double whole = one_way_seconds(bytes);
    machine.link_latency_s = latency;
    machine.link_bytes_per_s = static_cast<double>(bytes) / std::max(whole - latency, shortest_s);
  }

  double one_way_seconds(size_t bytes) {
    constexpr int rounds = 50;
    std::vector<std::byte> buffer(bytes);
    double seconds = 0;
    comm_.barrier();
    if (comm_.rank() <= 1) {
      const int peer = 1 - comm_.rank();
      seconds = seconds_of([&] {
        for (int i = 0; i < rounds; ++i) {
          if (comm_.rank() == 0) comm_.send(buffer, peer);
          comm_.receive(buffer, peer);
          if (comm_.rank() == 1) comm_.send(buffer, peer);
        }
      });
    }
    comm_.broadcast(std::as_writable_bytes(std::span(&seconds, 1)), 0);
    return seconds / (2 * rounds);
  }

  const double budget_s_;  // for all measuring
  const QuantizeOptions trial_;
  const SourceModel model_;
  const Workload work_;
  const Windows windows_;
  const std::unique_ptr<Backend> backend_;
  const std::unique_ptr<Device> device_;
  const Rotary rotary_;
  const std::unique_ptr<Claim> claim_;
  RunDir run_dir_;
  RunWriter writer_;
  StreamBudget budget_;
  const std::unique_ptr<Communicator> alone_;
  MeshRank rank_;
  const Plan plan_;
  Communicator& comm_;
  ThreadPool& pool_;
  QuantizeObserver silent_;
  BlockCompute compute_;
};

}  // namespace

double prepare_rate(const Workload& work, const Machine& machine, double restoring_s) {
  const double reading_s = static_cast<double>(work.state_bytes) / machine.read_bytes_per_s;
  return static_cast<double>(work.weights) / std::max(restoring_s - reading_s, shortest_s);
}

Machine measure_machine(const QuantizeOptions& options, Files& files, const std::string& folder,
                        Communicator& comm, ThreadPool& pool, const Machine& before,
                        double budget_s) {
  const TrialFolder removed(files, folder);
  Machine machine = before;
  machine.samples_at_once = pool.size();
  Trial(options, files, folder, comm, pool, budget_s).measure(machine);
  return machine;
}

}  // namespace bitmill
