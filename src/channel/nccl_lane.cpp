#include "channel/nccl_lane.hpp"

#include <algorithm>
#include <utility>

#include "channel/nccl_fault.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

cudaStream_t computing_stream(const at::Device& device) {
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
}

// Whether the device has come to the event.
bool has_come(cudaEvent_t event) {
  const cudaError_t state = cudaEventQuery(event);
  if (state == cudaErrorNotReady) {
    cudaGetLastError();  // it is no error
    return false;
  }
  check_cuda(state, "cudaEventQuery");
  return true;
}

}  // namespace

void LookedTime::restart() {
  looked_at_ = std::chrono::steady_clock::now();
  sum_ = 0;
}

double LookedTime::seconds() {
  const auto now = std::chrono::steady_clock::now();
  sum_ += std::min(1.0, std::chrono::duration<double>(now - looked_at_).count());
  looked_at_ = now;
  return sum_;
}

class NcclLane::Ticket final : public Transfer {
 public:
  Ticket(NcclLane& lane, std::shared_ptr<const Operation> operation)
      : lane_(lane), operation_(std::move(operation)) {}

  bool done() override {
    if (!operation_->through) lane_.move_on();
    return operation_->through;
  }

 private:
  NcclLane& lane_;
  const std::shared_ptr<const Operation> operation_;
};

NcclLane::NcclLane(Setting setting, const NcclMembers& members, std::unique_ptr<Transfer> telling,
                   std::shared_ptr<const ncclUniqueId> told)
    : setting_(std::move(setting)),
      stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, setting_.device.index())),
      telling_(std::move(telling)),
      told_(std::move(told)) {
  comm_.emplace(members, setting_.place, setting_.doing);
}

NcclLane::NcclLane(Setting setting, Communicator& ids, int from)
    : setting_(std::move(setting)),
      stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, setting_.device.index())),
      ids_(&ids),
      id_from_(from) {}

NcclLane::~NcclLane() = default;

std::unique_ptr<Transfer> NcclLane::add(std::vector<NcclPiece> pieces, std::string doing) {
  std::erase_if(pieces, [](const NcclPiece& piece) { return piece.bytes == 0; });
  auto operation = std::make_shared<Operation>();
  operation->pieces = std::move(pieces);
  operation->doing = std::move(doing);
  operation->before = new_cuda_event();
  check_cuda(cudaEventRecord(operation->before.get(), computing_stream(setting_.device)),
             "cudaEventRecord");
  if (operations_.empty()) still_.restart();
  operations_.push_back(operation);
  move_on();
  return std::make_unique<Ticket>(*this, std::move(operation));
}

void NcclLane::move_on() {
  if (telling_ && telling_->done()) telling_.reset();
  if (!comm_) hear_id();
  if (comm_) post_all();
  take_off();
  if (!operations_.empty()) check_patience();
}

void NcclLane::hear_id() {
  if (!hearing_) {
    hearing_ = ids_->start_receive(std::as_writable_bytes(std::span(&heard_, 1)), id_from_);
  }
  if (!hearing_ || !hearing_->done()) return;
  hearing_.reset();
  comm_.emplace(NcclMembers{heard_, 2, 0}, setting_.place, setting_.doing);
}

void NcclLane::post_all() {
  for (const auto& operation : operations_) {
    if (!comm_->ready()) return;
    if (!operation->posted) {
      check_cuda(cudaStreamWaitEvent(stream_.stream(), operation->before.get(), 0),
                 "cudaStreamWaitEvent");
      if (!operation->pieces.empty()) {
        comm_->post(operation->pieces, stream_.stream(), operation->doing);
      }
      operation->posted = true;
      still_.restart();
      if (!comm_->ready()) return;
    }
    if (operation->marked) continue;
    operation->behind = new_cuda_event();
    check_cuda(cudaEventRecord(operation->behind.get(), stream_.stream()), "cudaEventRecord");
    operation->marked = true;
  }
}

void NcclLane::take_off() {
  while (!operations_.empty() && operations_.front()->marked &&
         has_come(operations_.front()->behind.get())) {
    operations_.front()->through = true;
    operations_.pop_front();
    still_.restart();
  }
}

// The clock of a transfer runs only when the GPU has come to it.
void NcclLane::check_patience() {
  const Operation& first = *operations_.front();
  const bool connecting = !first.posted;
  if (setting_.limit == Limit::nothing || !has_come(first.before.get())) {
    still_.restart();
    return;
  }
  if (still_.seconds() < setting_.patience_s) return;
  throw_nccl_late(setting_.patience_s, setting_.place, connecting ? setting_.doing : first.doing);
}

}  // namespace bitmill
