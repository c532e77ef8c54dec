#pragma once
// What the emulator throws when a kernel does what CUDA does not define.

#include <stdexcept>
#include <string>

namespace bitmill::emulation {

class KernelFault : public std::runtime_error {
 public:
  KernelFault(const std::string& what, bool illegal_address)
      : std::runtime_error(what), illegal_address_(illegal_address) {}
  // An access to memory that the kernel must not touch; otherwise a barrier, a mask, a deadlock ...
  bool illegal_address() const { return illegal_address_; }

 private:
  bool illegal_address_;
};

}  // namespace bitmill::emulation
