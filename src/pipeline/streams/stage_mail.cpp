#include "pipeline/streams/stage_mail.hpp"

#include <ATen/ops/empty.h>

#include "base/pause.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
void StageMail::send(const at::Tensor& value, int to) {
  move_on();
  at::Tensor whole = value.contiguous();
  auto transfer = comm_.start_send(std::as_bytes(floats_of(whole)), to);
  under_way_[to].push_back({std::move(whole), std::move(transfer)});
}

at::Tensor StageMail::receive(at::IntArrayRef shape, int from) {
  at::Tensor value = at::empty(shape);
  std::unique_ptr<Transfer> transfer;
  for (Pause pause;; pause()) {
    move_on();
    if (!transfer) {
      transfer = comm_.start_receive(std::as_writable_bytes(floats_of(value)), from);
    }
    if (transfer && transfer->done()) return value;
  }
}

void StageMail::flush() {
  for (Pause pause;; pause()) {
    move_on();
    if (under_way_.empty()) return;
  }
}

void StageMail::move_on() {
  for (auto it = under_way_.begin(); it != under_way_.end();) {
    std::deque<Letter>& letters = it->second;
    while (!letters.empty() && letters.front().transfer->done()) letters.pop_front();
    it = letters.empty() ? under_way_.erase(it) : std::next(it);
  }
}

}  // namespace bitmill
