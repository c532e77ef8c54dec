// What a run is compared by, before another start goes on with it.

#include "pipeline/job/fingerprint.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pipeline/checks/preflight.hpp"
#include "pipeline/tiny_job.hpp"

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

// A third schedule was once written under the name of the first.
TEST(Fingerprint, EveryValueOfASettingHasAWordOfItsOwn) {
  EXPECT_EQ(word_of(RateSchedule::constant), "constant");
  EXPECT_EQ(word_of(RateSchedule::cosine), "cosine");
  EXPECT_EQ(word_of(RateSchedule::cosine_to_zero), "cosine-to-zero");
  EXPECT_NE(word_of(Saliency::max), word_of(Saliency::mean));
  EXPECT_NE(word_of(Int4Range::row), word_of(Int4Range::salient));
  EXPECT_NE(word_of(Init::weights), word_of(Init::descent));
  EXPECT_NE(word_of(ErrorKind::absolute), word_of(ErrorKind::relative));
}

class FingerprintOfAJob : public TinyJob {
 protected:
  nlohmann::json fingerprint(const QuantizeOptions& o) {
    return nlohmann::json::parse(check_quantize(o, *files_, 1, 1).forecast.fingerprint_json);
  }
};

TEST_F(FingerprintOfAJob, HasTheScheduleThatIsUsed) {
  QuantizeOptions o = options("out");
  for (const RateSchedule schedule :
       {RateSchedule::constant, RateSchedule::cosine, RateSchedule::cosine_to_zero}) {
    o.method.schedule = schedule;
    EXPECT_EQ(fingerprint(o).at("method").at("lr_schedule"), word_of(schedule));
  }
}

// So that runs from before it existed can be gone on with.
TEST_F(FingerprintOfAJob, HasAShuffleSeedOnlyWhereOneWasGiven) {
  QuantizeOptions o = options("out");
  const nlohmann::json plain = fingerprint(o);
  EXPECT_FALSE(plain.contains("shuffle_seed"));
  EXPECT_FALSE(plain.contains("window_bos"));
  o.shuffle_seed = 0;
  nlohmann::json shuffled = fingerprint(o);
  EXPECT_EQ(shuffled.at("shuffle_seed"), 0);
  EXPECT_NE(shuffled.at("windows"), plain.at("windows"));
}

}  // namespace
}  // namespace bitmill
