#pragma once
// timeline.html, which is part of the binary.

namespace bitmill {

// With @DATA@ where the data belongs.
const char* embedded_timeline_page();

}  // namespace bitmill
