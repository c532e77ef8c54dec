#pragma once
// README.md of the model that a result was made from: what is taken from it, and where it is kept.

#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// A card that bitmill wrote has this line, and is replaced where another is due. A user who has
// changed one removes the line: then it is kept like a source's.
inline constexpr std::string_view our_card_line =
    "<!-- bitmill wrote this card. Remove this line when you change it: bitmill then keeps it. -->";

struct SourceCard {
  std::string file;  // name in the folder; empty when there is none
  // Of a front matter, as written there; empty when it has none, or one that is not a plain word.
  std::string license, license_name, license_link;
  std::string license_file;         // the card that names the licence
  std::vector<std::string> others;  // cards that came later, as a changed card of a packed folder
};

// In a folder into which the source's files were copied: makes place for a card of ours. A
// README.md that is not ours becomes SOURCE_README.md, or SOURCE_README.2.md and so on when that is
// taken; one of ours is removed.
void set_source_card_aside(Files& files, const std::string& folder);

// Reads the SOURCE_README files that set_source_card_aside() left. The first is the source's own;
// the licence is that of the first one that names one.
SourceCard read_source_card(Files& files, const std::string& folder);

}  // namespace bitmill
