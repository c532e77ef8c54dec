// What a run is compared by, before another start goes on with it.

#include "pipeline/job/fingerprint.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

TEST(FingerprintDifference, NamesTheFieldAndBothValues) {
  EXPECT_EQ(fingerprint_difference(R"({"a": 1, "m": {"x": "u"}})", R"({"a": 1, "m": {"x": "v"}})"),
            "m.x is \"u\" there and \"v\" here");
  EXPECT_EQ(fingerprint_difference(R"({"a": 1})", R"({"a": 1})"), "");
}

// What is not learned has no rate: the run may have begun with more settings than this start has.
TEST(FingerprintDifference, WhatOnlyOneOfThemSetsIsADifference) {
  const char* plain = R"({"method": {"loss": "mse"}})";
  const char* learns = R"({"method": {"loss": "mse", "lr_mean": 0.5}})";
  EXPECT_EQ(fingerprint_difference(plain, learns), "method.lr_mean is not set there and 0.5 here");
  EXPECT_EQ(fingerprint_difference(learns, plain), "method.lr_mean is 0.5 there and not set here");
}

}  // namespace
}  // namespace bitmill
