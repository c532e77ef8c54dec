#pragma once
// Names in a run folder and keys in its files. Writers and readers both use them.

#include <array>

namespace bitmill::layout {

// In the run folder.
inline constexpr const char* events = "blocks.jsonl";
inline constexpr const char* trouble = "trouble.json";
inline constexpr const char* trouble_being_written = "trouble.json.new";  // by replace_file()

// In the state folder.
inline constexpr const char* holder = "holder.json";
inline constexpr const char* beat = "beat";
inline constexpr const char* taken = "taken-";  // and the generation: an empty folder
inline constexpr const char* record = "run.json";
inline constexpr const char* packed = "blocks";
inline constexpr const char* live = "live";
inline constexpr const char* parts = "parts";  // of live states
inline constexpr const char* set_aside = "redo";
inline constexpr const char* sources = "sources";
inline constexpr const char* other_events = "events";  // of writers other than rank 0
inline constexpr const char* streams = "streams";      // kept at a stop
inline constexpr std::array folders = {packed,  live,         parts,  set_aside,
                                       sources, other_events, streams};
inline constexpr const char* done = "DONE";
inline constexpr const char* failure = "failure.json";

// Metadata keys of block files.
inline constexpr const char* block_key = "bitmill.block";
inline constexpr const char* turn_key = "bitmill.turn";
inline constexpr const char* epochs_key = "bitmill.epochs";
inline constexpr const char* steps_key = "bitmill.steps";
inline constexpr const char* event_key = "bitmill.event";

}  // namespace bitmill::layout
