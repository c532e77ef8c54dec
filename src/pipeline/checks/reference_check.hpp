#pragma once
// Checks whether the reference of `tune` is the model that the packed model was made from.

#include <string>

#include "base/files.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// UsageError when the reference is itself packed.
void check_not_packed(Files& files, const std::string& reference);

// UsageError with everything that the two models compute differently; weights are not compared.
void check_same_model(const SourceModel& model, const SourceModel& teacher);

// A note for the user when the teacher's weights are not those that config.json of the packed model
// names as its source; it has both hashes. `teacher_hash` is combined_hash() of the teacher's
// weights. Empty when they are the same, or when config.json names none.
std::string other_source_note(Files& files, const SourceModel& model, const SourceModel& teacher,
                              const std::string& teacher_hash);

// For a job whose result would be wrong: UsageError where config.json of `model` names another
// source, or none.
void check_made_from(Files& files, const SourceModel& model, const SourceModel& original,
                     const std::string& original_hash);

}  // namespace bitmill
