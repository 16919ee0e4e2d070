// n-gram models: distributions behind any context, the definition on a text small enough for a pencil, and
// what more context is worth.
#include "eval/ngram.h"

#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "data/counter_rng.h"

namespace giantrabbit::eval {
namespace {

double sum_behind(const NgramModel& model, std::string_view context) {
  double sum = 0;
  for (int byte = 0; byte < 256; ++byte) sum += model.probability(context, static_cast<char>(byte));
  return sum;
}

// Letters a to d, each likely to follow the one two places before it; and bytes above 127 and 0.
std::string drawn_text(uint64_t seed, int size) {
  data::CounterRng rng{seed};
  std::string text("ab");
  while (std::ssize(text) < size) {
    const bool repeat = rng.chance(0.7);
    const char letter = static_cast<char>('a' + rng.uniform(0, 3));
    text += rng.chance(0.02) ? '\xff' : rng.chance(0.02) ? '\0' : repeat ? text[text.size() - 2] : letter;
  }
  return text;
}

TEST(NgramTest, ProbabilitiesSumToOne) {
  constexpr uint64_t seed = 71;
  SCOPED_TRACE(seed);
  const std::string text = drawn_text(seed, 5000);
  for (int64_t order = 1; order <= NgramModel::most_order; ++order) {
    const NgramModel model(text, order);
    for (const std::string& context :
         {std::string(), std::string("a"), text.substr(0, 100), text.substr(4000), std::string("abcdabcd"),
          std::string("zzzzzzzz"), std::string("azbzczdz"), std::string("\0\xff\0\xff\0\xff\0\xff", 8)}) {
      EXPECT_NEAR(sum_behind(model, context), 1, 1e-12) << order << " " << context;
    }
  }
  EXPECT_NEAR(sum_behind(NgramModel("", 4), "abc"), 1, 1e-12) << "nothing was counted";
  EXPECT_NEAR(sum_behind(NgramModel("ab", 4), "ab"), 1, 1e-12) << "shorter than the order";
  EXPECT_NEAR(sum_behind(NgramModel(std::string(100, 'a'), 3), "aa"), 1, 1e-12)
      << "no discount from the text";
}

// "aabab": strings of two aa ab ba ab: counts aa 1, ab 2, ba 1, so D_2 = 2 / (2 + 2 * 1) = 1/2.
// Different bytes in front: of a {a, b} 2, of b {a} 1, so D_1 = 1 / (1 + 2 * 1) = 1/3.
TEST(NgramTest, TheDefinitionByHand) {
  const NgramModel model("aabab", 2);
  const double third = 1.0 / 3, lowest = 1.0 / 256;
  const double a = (2 - third + third * 2 * lowest) / 3, b = (1 - third + third * 2 * lowest) / 3;
  EXPECT_NEAR(model.probability("", 'a'), a, 1e-15);
  EXPECT_NEAR(model.probability("", 'b'), b, 1e-15);
  EXPECT_NEAR(model.probability("", 'c'), third * 2 * lowest / 3, 1e-15);
  EXPECT_NEAR(model.probability("a", 'b'), (2 - 0.5 + 0.5 * 2 * b) / 3, 1e-15);
  EXPECT_NEAR(model.probability("bba", 'a'), (1 - 0.5 + 0.5 * 2 * a) / 3, 1e-15) << "one byte counts";
  EXPECT_NEAR(model.probability("b", 'b'), 0.5 * b, 1e-15);
  EXPECT_NEAR(model.probability("c", 'b'), b, 1e-15) << "a context that was never seen";
  const std::vector<double> bits = model.bits("ab");
  ASSERT_EQ(bits.size(), 2U);
  EXPECT_NEAR(bits[0], -std::log2(a), 1e-12);
  EXPECT_NEAR(bits[1], -std::log2(model.probability("a", 'b')), 1e-12);
}

TEST(NgramTest, ContextHelpsWhereTheTextHasAny) {
  constexpr uint64_t seed = 72;
  SCOPED_TRACE(seed);
  const std::string text = drawn_text(seed, 40000);
  const auto per_character = [&](int64_t order) {
    const std::vector<double> bits =
        NgramModel(std::string_view(text).substr(0, 30000), order).bits(std::string_view(text).substr(30000));
    return std::accumulate(bits.begin(), bits.end(), 0.0) / static_cast<double>(bits.size());
  };
  // A byte depends on the one two places before it alone. Entropies of the law: 2.41 bits without that one,
  // 1.39 with it; 10000 characters of up to 6 bits each show them to about 0.02.
  EXPECT_NEAR(per_character(1), 2.41, 0.06);
  EXPECT_NEAR(per_character(2), 2.41, 0.06);
  EXPECT_NEAR(per_character(3), 1.39, 0.06);
  EXPECT_LT(per_character(5), per_character(3) + 0.1) << "context that says nothing costs little";
}

TEST(NgramTest, OrdersOutsideTheKeysAreRefused) {
  EXPECT_THROW(NgramModel("abc", 0), std::invalid_argument);
  EXPECT_THROW(NgramModel("abc", NgramModel::most_order + 1), std::invalid_argument);
}

}  // namespace
}  // namespace giantrabbit::eval
