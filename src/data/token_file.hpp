#pragma once
// Token files: safetensors with a tensor `input_ids`, int32 (int64 is read as well), [tokens] for a
// text that has been tokenized, or [N, T] for ready windows.
//
// Other tensors of a tokenizer's or a trainer's output are accepted where they say nothing that
// bitmill does not do anyway: `attention_mask` all 1, `labels` equal to input_ids, `position_ids`
// 0 to T - 1 in every row, `token_type_ids` all 0, `special_tokens_mask`. Otherwise they are
// refused by name, and so is every other tensor: padding, masked losses and packed rows would be
// counted as text.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/token_text.hpp"
#include "format/safetensors_file.hpp"

namespace bitmill {

inline constexpr const char* token_tensor = "input_ids";

// FormatError for another shape or dtype, for the tensors above, and for the first id that is not
// in [0, vocab_size), with its position.
Tokens read_token_file(Files& files, const std::string& path, int64_t vocab_size);

// The same of a file that may be larger than memory. shape: without ids.
Tokens token_file_shape(const SafetensorsFile& file);
// Hands over all ids in order, in pieces, while they are checked. What was handed over is good only
// when the call returns: tensors beside are judged at the end.
void visit_token_file(const SafetensorsFile& file, int64_t vocab_size,
                      const std::function<void(std::span<const int32_t>)>& take);
// Ids [first, first + count) of a file that was visited.
std::vector<int32_t> read_token_ids(const SafetensorsFile& file, int64_t first, int64_t count);

// FormatError names the first id that is not in [0, vocab_size), and its position.
void check_vocabulary(const Tokens& tokens, int64_t vocab_size, const std::string& path);

}  // namespace bitmill
