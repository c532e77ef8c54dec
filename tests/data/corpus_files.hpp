#pragma once
// What the tests of corpora share: packed files, options, errors.

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "data/training_corpus.hpp"

namespace bitmill::corpora {

// One part of a gzip file.
inline std::string gzip(const std::string& content) {
  z_stream stream = {};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string packed(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

inline std::string zstd(const std::string& content) {
  std::string packed(ZSTD_compressBound(content.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), content.data(), content.size(), 3));
  return packed;
}

// The message of what `action` throws, or "not refused".
template <class Failure = Error, class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Failure& error) {
    return error.what();
  }
  return "not refused";
}

// A text in which every word occurs once: "w100 w101 ...", `words` long.
inline std::string counted_words(int first, int words) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    if (i > 0) text += i % 9 == 0 ? "\n" : " ";
    text += fmt::format("w{}", first + i);
  }
  return text;
}

}  // namespace bitmill::corpora
