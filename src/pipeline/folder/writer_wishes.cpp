#include "pipeline/folder/writer_wishes.hpp"

namespace bitmill {

StopWishes with_failures_of(RunWriter* writer, const StopWishes& wishes) {
  if (writer == nullptr) return wishes;
  StopWishes all = wishes;
  all.asked = [writer, asked = wishes.asked] {
    writer->check();
    return asked();
  };
  return all;
}

}  // namespace bitmill
