#include "pipeline/job/preprocess_job.hpp"

namespace bitmill {

std::string_view word_of(TrainingLoss loss) {
  return loss == TrainingLoss::cross_entropy ? "ce" : "kl";
}

}  // namespace bitmill
