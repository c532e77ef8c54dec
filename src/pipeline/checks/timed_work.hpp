#pragma once
// How long pieces of work take, over repetitions and ranks.

#include <functional>
#include <span>

#include "comm/communicator.hpp"

namespace bitmill {

double seconds_of(const std::function<void()>& work);
double mean(std::span<const double> values);  // of at least one

// The mean of what one() says it took: a run meets every hiccup of the machine, too. At least three
// calls, about `budget_s` in all, and one before that, which fills caches.
double mean_of(double budget_s, const std::function<double()>& one);

// Collective: the mean of every rank's value, on every rank.
double mean_of_ranks(Communicator& comm, double mine);

}  // namespace bitmill
