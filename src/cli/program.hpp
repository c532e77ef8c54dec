#pragma once
// The whole program behind main(): words in, exit code out.

#include <string>
#include <vector>

namespace bitmill {

// `words` are the arguments without the program's name. Nothing is thrown. May not return when
// ranks of an MPI job have to be ended (launch_session.hpp).
int run_program(const std::vector<std::string>& words) noexcept;

}  // namespace bitmill
