#pragma once
// The name of this host, as its users know it; "unknown host" where the system does not say.

#include <string>

namespace bitmill {

std::string host_name();

}  // namespace bitmill
