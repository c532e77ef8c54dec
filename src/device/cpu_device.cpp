#include <ATen/ATen.h>
#include <fmt/format.h>

#include "device/device.hpp"

namespace bitmill {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(ThreadPool& pool, at::ScalarType operand) : pool_(pool), operand_(operand) {}

  at::Device torch() const override { return at::kCPU; }
  at::ScalarType element() const override { return at::kFloat; }
  at::ScalarType operand() const override { return operand_; }
  ThreadPool& host() const override { return pool_; }
  int lanes() const override { return pool_.size(); }
  void for_units(int64_t count, const std::function<void(int64_t)>& unit) const override {
    pool_.parallel_for(count, unit);
  }
  void finish() const override {}
  at::Tensor bring(const at::Tensor& host, at::ScalarType type) const override {
    return host.scalar_type() == type ? host : host.detach().to(type).contiguous();
  }
  at::Tensor fetch(const at::Tensor& tensor, at::ScalarType type) const override {
    const bool is_one = tensor.scalar_type() == type && tensor.is_contiguous();
    return is_one ? tensor : tensor.detach().to(type).contiguous();
  }
  std::unique_ptr<Arrival> arrival(at::IntArrayRef, at::ScalarType) const override {
    return nullptr;
  }
  DeviceMemory memory() const override { return {}; }
  std::string description() const override { return fmt::format("{} threads", pool_.size()); }
  std::string identity() const override { return ""; }
  std::string numerics() const override { return "cpu"; }

 private:
  ThreadPool& pool_;
  const at::ScalarType operand_;
};

}  // namespace

std::unique_ptr<Device> cpu_device(ThreadPool& pool, at::ScalarType operand) {
  return std::make_unique<CpuDevice>(pool, operand);
}

}  // namespace bitmill
