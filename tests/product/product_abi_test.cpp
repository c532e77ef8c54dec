#include "product/product_abi.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "product/product_cases.hpp"

namespace bitmill {
namespace {

using test::multiplied;
using test::odd_product_shapes;
using test::options_for;
using test::ProductShape;
using test::random_values;
using ::testing::HasSubstr;

template <class Handle, void (*destroy)(Handle*)>
struct Destroy {
  void operator()(Handle* handle) const { destroy(handle); }
};
template <class Handle, void (*destroy)(Handle*)>
using Owned = std::unique_ptr<Handle, Destroy<Handle, destroy>>;
using Threads = Owned<bitmill_threads, bitmill_threads_destroy>;
using Options = Owned<bitmill_options, bitmill_options_destroy>;
using Made = Owned<bitmill_product, bitmill_product_destroy>;

// The parts of a linear, as a caller in C has them.
struct Parts {
  explicit Parts(const PackedLinear& linear)
      : places{linear.signs.data(),     linear.codes.data(),     linear.mask.data(),
               linear.code_zero.data(), linear.row_scale.data(), linear.row_mean.data(),
               linear.col_gain.data(),  linear.code_scale.data()},
        bytes{bytes_of(linear.signs),     bytes_of(linear.codes),     bytes_of(linear.mask),
              bytes_of(linear.code_zero), bytes_of(linear.row_scale), bytes_of(linear.row_mean),
              bytes_of(linear.col_gain),  bytes_of(linear.code_scale)} {}

  template <class T>
  static int64_t bytes_of(const std::vector<T>& vector) {
    return static_cast<int64_t>(vector.size() * sizeof(T));
  }

  std::array<const void*, 8> places;
  std::array<int64_t, 8> bytes;
};

Made made(const bitmill_options* options, const PackedLinear& linear, const Parts& parts) {
  return Made(bitmill_packed_create(options, "up_proj.weight", linear.rows, linear.cols,
                                    parts.places.data(), parts.bytes.data()));
}
Made made(const bitmill_options* options, const PackedLinear& linear) {
  return made(options, linear, Parts(linear));
}

PackedLinear some_linear() { return random_linear(17, 67, 14, 3).first; }

TEST(ProductAbi, HasTheBitsOfTheProductForEveryOddShapeAndPrecision) {
  const Threads threads(bitmill_threads_create(3, 0));
  for (const ProductShape& shape : odd_product_shapes()) {
    const PackedLinear linear =
        random_linear(shape.rows, shape.low + shape.salient, shape.salient, 11).first;
    for (const auto activations : {Activations::int8, Activations::int16, Activations::float32}) {
      const std::string word(activations_name(activations));
      Options options(bitmill_options_create(word.c_str(), "plain"));
      ASSERT_NE(options, nullptr) << bitmill_error();
      EXPECT_STREQ(bitmill_kernel_name(options.get()), "plain");
      const Made product = made(options.get(), linear);
      options.reset();  // the product goes on
      ASSERT_NE(product, nullptr) << bitmill_error();
      const auto own = make_packed_product(linear, "w", options_for(activations, "plain"));
      EXPECT_EQ(bitmill_product_bytes(product.get()), own->resident_bytes());
      for (const int64_t tokens : {0, 1, 67}) {
        const auto x = random_values(tokens * linear.cols, 5);
        std::vector<float> y(tokens * linear.rows, 7.0F);
        ASSERT_EQ(
            bitmill_product_multiply(product.get(), threads.get(), x.data(), tokens, y.data()), 1)
            << bitmill_error();
        EXPECT_EQ(y, multiplied(*own, x, tokens)) << shape.rows << " rows, " << word;
      }
    }
  }
}

TEST(ProductAbi, PartsMayBeFreedAfterwards) {
  const Options options(bitmill_options_create("int8", "auto"));
  const Threads threads(bitmill_threads_create(1, 0));
  PackedLinear linear = some_linear();
  const auto x = random_values(linear.cols, 5);
  const Made product = made(options.get(), linear);
  std::vector<float> before(17), after(17);
  ASSERT_EQ(bitmill_product_multiply(product.get(), threads.get(), x.data(), 1, before.data()), 1);
  linear = {};
  ASSERT_EQ(bitmill_product_multiply(product.get(), threads.get(), x.data(), 1, after.data()), 1);
  EXPECT_EQ(before, after);
}

TEST(ProductAbi, EveryPartOfAnotherSizeIsRefusedByName) {
  const Options options(bitmill_options_create("int8", "auto"));
  const PackedLinear linear = some_linear();
  const auto names = packed_parts();
  for (size_t part = 0; part < names.size(); ++part) {
    for (const int64_t more : {-4, 4}) {
      Parts parts(linear);
      parts.bytes[part] += more;
      EXPECT_EQ(made(options.get(), linear, parts), nullptr) << names[part].suffix;
      EXPECT_THAT(bitmill_error(), HasSubstr("up_proj.weight" + std::string(names[part].suffix) +
                                             " has " + std::to_string(parts.bytes[part])));
    }
    Parts parts(linear);
    parts.bytes[part] = -1;
    EXPECT_EQ(made(options.get(), linear, parts), nullptr);
  }
}

TEST(ProductAbi, DamagedContentIsRefusedAsThatOfAFolderIs) {
  const Options options(bitmill_options_create("int8", "auto"));
  const auto error_of = [&](auto damage) {
    PackedLinear linear = some_linear();
    damage(linear);
    EXPECT_EQ(made(options.get(), linear), nullptr);
    return std::string(bitmill_error());
  };
  EXPECT_THAT(error_of([](auto& linear) { linear.row_scale[3] = 0x7C00; }),
              HasSubstr("up_proj.weight.row_scale: element 3 is inf"));
  EXPECT_THAT(error_of([](auto& linear) { linear.signs[1] |= 1U << 31; }),
              HasSubstr("up_proj.weight.signs: the last word of row 0"));
  EXPECT_THAT(error_of([](auto& linear) { linear.mask[2] |= 1U << 31; }),
              HasSubstr("up_proj.weight.mask: the last word"));
  EXPECT_THAT(error_of([](auto& linear) { linear.mask[0] = ~linear.mask[0]; }),
              HasSubstr("up_proj.weight."));
  EXPECT_THAT(error_of([](auto& linear) { linear.rows = -1; }), HasSubstr("-1 rows"));
}

TEST(ProductAbi, WishesThatCannotBeMetAreErrors) {
  EXPECT_EQ(bitmill_options_create("int4", "auto"), nullptr);
  EXPECT_THAT(bitmill_error(), HasSubstr("\"int4\": choose int8, int16 or float32"));
  EXPECT_EQ(bitmill_options_create("int8", "neon"), nullptr);
  EXPECT_THAT(bitmill_error(), HasSubstr("no CPU kernel \"neon\""));
  EXPECT_EQ(bitmill_threads_create(0, 0), nullptr);
  EXPECT_THAT(bitmill_error(), HasSubstr("0 threads"));
}

TEST(ProductAbi, ANumberThatIsNotFiniteFailsTheCallAndTheErrorIsOfThisThread) {
  const Options options(bitmill_options_create("int8", "auto"));
  const Threads threads(bitmill_threads_create(2, 0));
  const PackedLinear linear = some_linear();
  const Made product = made(options.get(), linear);
  auto x = random_values(2 * linear.cols, 5);
  x[linear.cols + 5] = std::numeric_limits<float>::infinity();
  std::vector<float> y(2 * linear.rows);
  EXPECT_EQ(bitmill_product_multiply(product.get(), threads.get(), x.data(), 2, y.data()), 0);
  EXPECT_THAT(bitmill_error(), HasSubstr("up_proj.weight"));
  EXPECT_EQ(bitmill_product_multiply(product.get(), threads.get(), x.data(), -1, y.data()), 0);
  EXPECT_THAT(bitmill_error(), HasSubstr("-1 tokens"));
  std::thread([] { EXPECT_STREQ(bitmill_error(), ""); }).join();
}

TEST(ProductAbi, NullIsDestroyedWithoutHarm) {
  bitmill_threads_destroy(nullptr);
  bitmill_options_destroy(nullptr);
  bitmill_product_destroy(nullptr);
}

}  // namespace
}  // namespace bitmill
