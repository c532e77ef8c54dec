#include "comm/mpi_communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "comm/call_check.hpp"

namespace bitmill {
namespace {

// One tag for everything: messages between a pair keep their order.
constexpr int message_tag = 161;

struct RequestTraits {
  using Type = MPI_Request;
  static MPI_Request null() { return MPI_REQUEST_NULL; }
  // Runs only after another call failed. The job is about to end, so this does not wait.
  static void destroy(MPI_Request request) noexcept {
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
};
using Request = UniqueHandle<RequestTraits>;

class MpiCommunicator final : public Communicator {
 public:
  // Owns `comm`, which must return errors as codes (returning_errors()).
  MpiCommunicator(CommHandle comm, size_t piece_bytes)
      : comm_(std::move(comm)), piece_bytes_(piece_bytes) {
    assert(piece_bytes_ >= 1 && piece_bytes_ <= size_t{std::numeric_limits<int>::max()});
    check_mpi(MPI_Comm_rank(comm_.get(), &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm_.get(), &size_), "MPI_Comm_size");
    find_job_ranks();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int job_rank(int rank) const override {
    return 0 <= rank && rank < size_ ? job_ranks_[static_cast<size_t>(rank)] : rank;
  }

  void barrier() override {
    const int code = MPI_Barrier(comm_.get());
    if (code != MPI_SUCCESS) throw CommError(failure("MPI_Barrier", code));
  }

  void broadcast(std::span<std::byte> data, int root) override {
    check_rank(*this, "broadcast", root);
    for_each_piece(data, [&](std::span<std::byte> piece) {
      check("MPI_Bcast", "of", root, piece.size(),
            MPI_Bcast(piece.data(), count(piece), MPI_BYTE, root, comm_.get()));
    });
  }

  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    copy_own_entry(*this, to, from);
    std::vector<Pending> pending;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_) begin_receive(from[static_cast<size_t>(peer)], peer, pending);
    }
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_) begin_send(to[static_cast<size_t>(peer)], peer, pending);
    }
    for (Pending& one : pending) finish(one);
  }

  void send(std::span<const std::byte> data, int to) override {
    check_peer(*this, "send", to);
    for_each_piece(data, [&](std::span<const std::byte> piece) {
      check("MPI_Send", "to", to, piece.size(),
            MPI_Send(piece.data(), count(piece), MPI_BYTE, to, message_tag, comm_.get()));
    });
  }

  void receive(std::span<std::byte> data, int from) override {
    check_peer(*this, "receive", from);
    for_each_piece(data, [&](std::span<std::byte> piece) {
      MPI_Status status;
      check(
          "MPI_Recv", "from", from, piece.size(),
          MPI_Recv(piece.data(), count(piece), MPI_BYTE, from, message_tag, comm_.get(), &status));
      check_arrived("MPI_Recv", from, piece.size(), status);
    });
  }

  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override {
    check_peer(*this, "start_send", to);
    auto transfer = std::make_unique<Pieces>(*this);
    begin_send(data, to, transfer->pending);
    return transfer;
  }

  // Begins no MPI receive before the first piece has come, so that no receive must be cancelled
  // when a job stops. The other pieces follow for sure: the sender started all of them together.
  std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) override {
    check_peer(*this, "start_receive", from);
    int here = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    const auto first = data.first(std::min(data.size(), piece_bytes_));
    check("MPI_Improbe", "from", from, first.size(),
          MPI_Improbe(from, message_tag, comm_.get(), &here, &message, &status));
    if (here == 0) return nullptr;
    auto transfer = std::make_unique<Pieces>(*this);
    MPI_Request raw = MPI_REQUEST_NULL;
    check("MPI_Imrecv", "from", from, first.size(),
          MPI_Imrecv(first.data(), count(first), MPI_BYTE, &message, &raw));
    transfer->pending.push_back({Request(raw), true, from, first.size()});
    const auto rest = data.subspan(first.size());
    if (!rest.empty()) begin_receive(rest, from, transfer->pending);
    return transfer;
  }

  std::unique_ptr<Communicator> split(int color) override {
    MPI_Comm raw = MPI_COMM_NULL;
    const int code = MPI_Comm_split(comm_.get(), color, rank_, &raw);
    if (code != MPI_SUCCESS) throw CommError(failure("MPI_Comm_split", code));
    return std::make_unique<MpiCommunicator>(returning_errors(raw), piece_bytes_);
  }

 private:
  // One nonblocking MPI call. The buffer belongs to our caller.
  struct Pending {
    Request request;
    bool is_receive;
    int peer;
    size_t bytes;
  };

  class Pieces final : public Transfer {
   public:
    explicit Pieces(const MpiCommunicator& comm) : comm_(comm) {}

    bool done() override {
      for (; next_ < pending.size(); ++next_) {
        if (!comm_.test(pending[next_])) return false;
      }
      return true;
    }

    std::vector<Pending> pending;

   private:
    const MpiCommunicator& comm_;
    size_t next_ = 0;  // all pending calls before this one are finished
  };

  // Asks the library only: nothing is sent.
  void find_job_ranks() {
    MPI_Group here = MPI_GROUP_NULL, job = MPI_GROUP_NULL;
    check_mpi(MPI_Comm_group(comm_.get(), &here), "MPI_Comm_group");
    check_mpi(MPI_Comm_group(MPI_COMM_WORLD, &job), "MPI_Comm_group");
    std::vector<int> ranks(static_cast<size_t>(size_));
    std::iota(ranks.begin(), ranks.end(), 0);
    job_ranks_.resize(ranks.size());
    check_mpi(MPI_Group_translate_ranks(here, size_, ranks.data(), job, job_ranks_.data()),
              "MPI_Group_translate_ranks");
    MPI_Group_free(&here);
    MPI_Group_free(&job);
  }

  // An empty message has one empty piece, so that it is noticed when sender and receiver give
  // different sizes.
  template <class Byte, class Call>
  void for_each_piece(std::span<Byte> data, Call call) const {
    do {
      const size_t bytes = std::min(data.size(), piece_bytes_);
      call(data.first(bytes));
      data = data.subspan(bytes);
    } while (!data.empty());
  }

  static int count(std::span<const std::byte> piece) { return static_cast<int>(piece.size()); }

  void begin_receive(std::span<std::byte> data, int from, std::vector<Pending>& pending) const {
    for_each_piece(data, [&](std::span<std::byte> piece) {
      MPI_Request raw = MPI_REQUEST_NULL;
      check("MPI_Irecv", "from", from, piece.size(),
            MPI_Irecv(piece.data(), count(piece), MPI_BYTE, from, message_tag, comm_.get(), &raw));
      pending.push_back({Request(raw), true, from, piece.size()});
    });
  }

  void begin_send(std::span<const std::byte> data, int to, std::vector<Pending>& pending) const {
    for_each_piece(data, [&](std::span<const std::byte> piece) {
      MPI_Request raw = MPI_REQUEST_NULL;
      check("MPI_Isend", "to", to, piece.size(),
            MPI_Isend(piece.data(), count(piece), MPI_BYTE, to, message_tag, comm_.get(), &raw));
      pending.push_back({Request(raw), false, to, piece.size()});
    });
  }

  // The order of waiting does not matter: MPI moves all pending messages inside any call.
  void finish(Pending& one) const {
    const char* call = one.is_receive ? "MPI_Wait for a receive" : "MPI_Wait for a send";
    MPI_Request raw = one.request.release();
    MPI_Status status;
    check(call, one.is_receive ? "from" : "to", one.peer, one.bytes, MPI_Wait(&raw, &status));
    if (one.is_receive) check_arrived(call, one.peer, one.bytes, status);
  }

  // Finishes the call if that needs no waiting. Returns whether it did.
  bool test(Pending& one) const {
    const char* call = one.is_receive ? "MPI_Test for a receive" : "MPI_Test for a send";
    MPI_Request raw = one.request.release();
    int over = 0;
    MPI_Status status;
    const int code = MPI_Test(&raw, &over, &status);
    one.request = Request(raw);  // null again when it is over
    check(call, one.is_receive ? "from" : "to", one.peer, one.bytes, code);
    if (over != 0 && one.is_receive) check_arrived(call, one.peer, one.bytes, status);
    return over != 0;
  }

  std::string failure(const std::string& call, int code) const {
    return fmt::format("{}: {}", describe_call(*this, call.c_str()), mpi_words(code));
  }

  void check(const char* call, const char* direction, int peer, size_t bytes, int code) const {
    BITMILL_CHECK(code == MPI_SUCCESS, CommError,
                  fmt::format("{}, {} bytes {} rank {}: {}", describe_call(*this, call), bytes,
                              direction, job_rank(peer), mpi_words(code)));
  }

  // MPI reports a message that is too long. This check finds one that is too short.
  void check_arrived(const char* call, int from, size_t expected, const MPI_Status& status) const {
    int arrived = 0;
    check("MPI_Get_count", "from", from, expected, MPI_Get_count(&status, MPI_BYTE, &arrived));
    BITMILL_CHECK(arrived >= 0 && static_cast<size_t>(arrived) == expected, CommError,
                  fmt::format("{}: rank {} sent {} bytes where {} were expected",
                              describe_call(*this, call), job_rank(from), arrived, expected));
  }

  CommHandle comm_;
  size_t piece_bytes_;  // that one call carries at most
  int rank_ = 0;
  int size_ = 0;
  std::vector<int> job_ranks_;  // by rank
};

}  // namespace

std::unique_ptr<Communicator> mpi_communicator(CommHandle comm, size_t piece_bytes) {
  return std::make_unique<MpiCommunicator>(std::move(comm), piece_bytes);
}

}  // namespace bitmill
