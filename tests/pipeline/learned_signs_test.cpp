// Spec section 9 through the whole job: the same bytes whoever computes and whatever stops it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

class LearnedSigns : public TinyJob {
 protected:
  // All of spec section 9 at once.
  QuantizeOptions everything_learned(const std::string& name) {
    QuantizeOptions o = options(name);
    o.epochs = 4;
    o.batch = 3;
    o.method.int4_range = Int4Range::salient;
    o.method.int4_clip = o.method.center = true;
    o.method.init = Init::descent;
    o.method.loss = {ErrorKind::relative, 1.0, 0.5};
    o.method.learned = {true, true, true};
    o.method.schedule = RateSchedule::cosine;
    return o;
  }
};

TEST_F(LearnedSigns, GiveTheSameBytesForAnyRanksThreadsAndLags) {
  for (const int lag : {4, 1}) {
    QuantizeOptions one = everything_learned("one" + std::to_string(lag));
    one.lag = lag;
    run(one);
    for (const int ranks : {2, 3, 5}) {
      QuantizeOptions many = everything_learned(fmt::format("lag{}x{}", lag, ranks));
      many.lag = lag;
      run(many, ranks, 1 + ranks % 3);
      EXPECT_TRUE(bytes(file_name(many.output_dir)) == bytes(file_name(one.output_dir)))
          << "lag " << lag << ", ranks " << ranks;
    }
  }
}

TEST_F(LearnedSigns, StoppedAnywhereGiveTheSameBytes) {
  for (const bool half : {false, true}) {
    QuantizeOptions whole = everything_learned(half ? "half" : "full");
    whole.half_latents = half;
    whole.lag = 2;
    run(whole, 2);
    for (int leave_at = 2; leave_at < 40; leave_at += 7) {
      QuantizeOptions o = everything_learned(fmt::format("{}at{}", half, leave_at));
      o.half_latents = half;
      o.lag = 2;
      stop_early(o, leave_at);
      run(o, 1 + leave_at % 3);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(whole.output_dir)))
          << "16 bit " << half << ", left at " << leave_at;
    }
  }
}

TEST_F(LearnedSigns, EverySettingBeyondThePaperChangesTheResult) {
  std::vector<std::string> seen;
  const auto result_of = [&](auto change) {
    QuantizeOptions o = options(std::to_string(seen.size()));
    change(o.method);
    run(o);
    seen.push_back(bytes(file_name(o.output_dir)));
  };
  result_of([](MethodSettings&) {});
  result_of([](MethodSettings& m) { m.learned.signs = true; });
  result_of([](MethodSettings& m) { m.learned.row_means = true; });
  result_of([](MethodSettings& m) { m.learned.code_scales = true; });
  result_of([](MethodSettings& m) { m.int4_clip = true; });
  result_of([](MethodSettings& m) { m.center = true; });
  result_of([](MethodSettings& m) { m.loss.error = ErrorKind::relative; });
  result_of([](MethodSettings& m) { m.loss.homologous = 0; });
  result_of([](MethodSettings& m) { m.init = Init::descent; });
  result_of([](MethodSettings& m) { m.schedule = RateSchedule::cosine; });
  for (size_t a = 0; a < seen.size(); ++a) {
    EXPECT_EQ(seen[a].size(), seen[0].size()) << "the packed form grew";
    for (size_t b = 0; b < a; ++b) EXPECT_FALSE(seen[a] == seen[b]) << a << " and " << b;
  }
}

}  // namespace
}  // namespace bitmill
