#pragma once
// A file, read from its begin in pieces that fit any memory.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

inline constexpr int64_t file_piece_bytes = int64_t{1} << 20;

// Calls use(piece) with the first `bytes` of the file, in pieces of file_piece_bytes or less, until
// it returns false. Returns how many bytes it was given.
template <class Use>
int64_t read_file_pieces(const InputFile& file, int64_t bytes, const Use& use) {
  std::vector<std::byte> memory(static_cast<size_t>(std::min(file_piece_bytes, bytes)));
  int64_t done = 0;
  for (bool goes_on = true; goes_on && done < bytes;) {
    const auto size = static_cast<size_t>(std::min(file_piece_bytes, bytes - done));
    const std::span<std::byte> piece = std::span(memory).first(size);
    file.read(done, piece);
    done += static_cast<int64_t>(size);
    goes_on = use(std::span<const std::byte>(piece));
  }
  return done;
}

}  // namespace bitmill
