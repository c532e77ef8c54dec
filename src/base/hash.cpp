#include "base/hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <new>

namespace bitmill {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

struct Hasher::State {
  XXH3_state_t* raw = XXH3_createState();
  State() {
    if (raw == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(raw);
  }
  ~State() { XXH3_freeState(raw); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;

void Hasher::add(std::span<const std::byte> data) {
  XXH3_128bits_update(state_->raw, data.data(), data.size());
}

void Hasher::add_text(std::string_view text) {
  const std::array<uint64_t, 1> size = {text.size()};
  add(std::as_bytes(std::span(size)));
  add(std::as_bytes(std::span(text)));
}

std::string Hasher::hex() const { return to_hex(XXH3_128bits_digest(state_->raw)); }

std::string hash_hex(std::span<const std::byte> data) {
  return to_hex(XXH3_128bits(data.data(), data.size()));
}

}  // namespace bitmill
