#pragma once
// Whether the reference of a tuning is the model that the packed one was made from.

#include <string>

#include "base/files.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// UsageError when the reference is packed itself.
void check_not_packed(Files& files, const std::string& reference);

// UsageError with everything in which the two compute differently, their weights left out.
void check_same_model(const SourceModel& model, const SourceModel& teacher);

// For people, where the teacher's weights, whose combined_hash() is given, are not those that the
// packed model's config.json names as its source; both hashes are in it. Empty where they are, and
// where config.json names none.
std::string other_source_note(Files& files, const SourceModel& model, const SourceModel& teacher,
                              const std::string& teacher_hash);

}  // namespace bitmill
