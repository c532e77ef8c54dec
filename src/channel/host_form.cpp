#include "channel/host_form.hpp"

#include <cassert>
#include <vector>

namespace bitmill {
namespace {

std::span<std::byte> bytes_in(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  assert(tensor.is_cpu());
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace

std::unique_ptr<Transfer> HostForm::offer(const at::Tensor& value, int to) {
  return comm_.start_send(bytes_in(value), to);
}

std::unique_ptr<Transfer> HostForm::accept(const at::Tensor& room, int from) {
  return comm_.start_receive(bytes_in(room), from);
}

void HostForm::exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) {
  std::vector<std::span<const std::byte>> out;
  std::vector<std::span<std::byte>> in;
  for (const at::Tensor& tensor : to) out.push_back(bytes_in(tensor));
  for (const at::Tensor& tensor : from) in.push_back(bytes_in(tensor));
  comm_.exchange(out, in);
}

}  // namespace bitmill
