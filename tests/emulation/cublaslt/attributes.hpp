#pragma once
// Setting and reading one attribute of a structure, as the ...SetAttribute and ...GetAttribute
// calls do: by a pointer and a number of bytes.

#include <cublasLt.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace bitmill::fake_cuda {

// From or into a caller's buffer.
class Attribute {
 public:
  Attribute(const void* from, size_t size) : from_(from), size_(size) {}
  Attribute(void* into, size_t size, size_t* written)
      : into_(into), size_(size), written_(written) {}

  template <typename Field>
  cublasStatus_t move(Field& field) const {
    if (from_ != nullptr) {
      if (size_ != sizeof(Field)) return CUBLAS_STATUS_INVALID_VALUE;
      std::memcpy(&field, from_, sizeof(Field));
      return CUBLAS_STATUS_SUCCESS;
    }
    if (written_ != nullptr) *written_ = sizeof(Field);
    if (into_ == nullptr || size_ < sizeof(Field)) {
      return size_ == 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
    }
    std::memcpy(into_, &field, sizeof(Field));
    return CUBLAS_STATUS_SUCCESS;
  }

  // An attribute that is not emulated may be set to the value that it has anyway.
  template <typename Value>
  cublasStatus_t only(Value value, const char* name) const {
    Value wanted = value;
    const cublasStatus_t status = move(wanted);
    if (status != CUBLAS_STATUS_SUCCESS || wanted == value) return status;
    std::fprintf(stderr, "emulation: cublasLt: %s can only be %lld\n", name,
                 static_cast<long long>(value));
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }

 private:
  const void* from_ = nullptr;
  void* into_ = nullptr;
  size_t size_ = 0;
  size_t* written_ = nullptr;
};

// Says which attribute is missing.
inline cublasStatus_t unknown_attribute(const char* structure, int attribute) {
  std::fprintf(stderr, "emulation: cublasLt: attribute %d of a %s is not emulated\n", attribute,
               structure);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

}  // namespace bitmill::fake_cuda
