// Exact sparse attention on data built to break it: ties, numbers at the ends of fp32's range, codes that say
// nothing about the scores, wide and narrow blocks in one head. All against the definition in double. See
// Note [Tolerances of exact attention].
#include <functional>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/cpu/exact/wide.h"
#include "tests/ops/exact_attention_checks.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::expect_matches_definition;
using test::Inputs;
using test::kernel_support;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_equal;

constexpr Sizes kHostileSizes{1, 2, 1, 230, 640, 64, 32};

struct HostileData {
  std::string name;
  std::function<void(Inputs&)> build;  // from independent normal numbers
  bool exact_scores = false;
};

void expect_all_hostile(const std::vector<HostileData>& data) {
  for (const HostileData& of : data) {
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      for (const bool causal : {false, true}) {
        Inputs in = random_inputs(kHostileSizes, at::kFloat);
        of.build(in);
        SparseMask mask;
        mask.causal = causal;
        expect_matches_definition({in, mask, normalizer, std::nullopt, of.exact_scores},
                                  of.name + (causal ? " causal" : ""));
      }
    }
  }
}

at::Tensor uniform(at::IntArrayRef shape, double low, double high) {
  return torch::rand(shape) * (high - low) + low;
}

TEST(ExactAttentionHostileTest, Ties) {
  const auto times = [](double factor) {
    return [factor](Inputs& in) {
      in.query = in.query.sign() * factor;
      in.key = in.key.sign() * factor;
    };
  };
  expect_all_hostile({
      {"multiples of a half",
       [](Inputs& in) {
         in.query = (in.query * 2).round() / 2;
         in.key = (in.key * 2).round() / 2;
       },
       true},
      {"signs", times(1.0), true},
      {"signs, large", times(0x1p20), true},
      {"signs, small", times(0x1p-40), true},
      {"signs of few scores", [](Inputs& in) { in.query = in.query.sign() * 0x1p-3, in.key = in.key.sign(); },
       true},
      {"seven keys over and over",
       [](Inputs& in) { in.key = in.key.index_select(2, torch::arange(640).remainder(7)).contiguous(); }},
      {"equal keys", [](Inputs& in) { in.key = in.key.narrow(2, 0, 1).expand_as(in.key).contiguous(); }},
      {"constant", [](Inputs& in) { in.query.fill_(1.0), in.key.fill_(1.0); }, true},
      {"equal queries",
       [](Inputs& in) { in.query = in.query.narrow(2, 0, 1).expand_as(in.query).contiguous(); }},
  });
}

TEST(ExactAttentionHostileTest, DuplicatesGetTheSameBits) {
  for (const double factor : {0.2, 1.0, 5.0}) {  // wide and narrow
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      Inputs in = random_inputs({1, 1, 1, 200, 600, 64, 16}, at::kFloat);
      in.query *= factor;
      in.key = in.key.narrow(2, 0, 200).repeat({1, 1, 3, 1});
      const at::Tensor weights = kernel_support({in.query, in.key, in.value, {}, normalizer, {}, {}}).weights;
      EXPECT_TRUE(tensors_equal(weights.narrow(3, 0, 200), weights.narrow(3, 200, 200))) << factor;
      EXPECT_TRUE(tensors_equal(weights.narrow(3, 0, 200), weights.narrow(3, 400, 200))) << factor;
    }
  }
}

TEST(ExactAttentionHostileTest, EndsOfTheRange) {
  const auto times = [](double query, double key) {
    return [=](Inputs& in) { in.query *= query, in.key *= key; };
  };
  expect_all_hostile({
      {"1e4", times(1e4, 1e4)},
      {"1e8", times(1e8, 1e8)},
      {"1e16", times(1e16, 1e16)},
      {"1e18", times(1e18, 1e18)},
      {"near the limit of coding", times(1e17, 1e17)},
      {"1e17 and 1e-17", times(1e17, 1e-17)},
      {"1e-30 and 1e30", times(1e-30, 1e30)},
      {"1e-20", times(1e-20, 1e-20)},
      {"1e-20 and 1e17", times(1e-20, 1e17)},
      {"1e-8, and 1e-28 or 1e9",  // inverse scales whose product is infinite
       [](Inputs& in) {
         in.query *= 1e-8, in.key.narrow(2, 0, 320) *= 1e-28, in.key.narrow(2, 320, 320) *= 1e9;
       }},
      {"1e-31 and 1e-31", times(1e-31, 1e-31)},
      {"denormal", times(1e-40, 1e-40)},
      {"denormal queries", times(1e-40, 1e17)},
      {"zero queries", times(0.0, 1.0)},
      {"zero keys", times(1.0, 0.0)},
      {"sizes of all kinds in one head",
       [](Inputs& in) {
         in.query *= torch::pow(10.0, uniform({1, 2, 230, 1}, -12, 6));
         in.key *= torch::pow(10.0, uniform({1, 1, 640, 1}, -12, 6));
       }},
      {"sizes of all kinds in one row",
       [](Inputs& in) {
         in.query *= torch::pow(10.0, uniform({1, 1, 1, 64}, -9, 9));
         in.key *= torch::pow(10.0, uniform({1, 1, 1, 64}, -9, 9));
       }},
  });
}

TEST(ExactAttentionHostileTest, OutliersAndZeros) {
  expect_all_hostile({
      {"a key times 1000", [](Inputs& in) { in.key.select(2, 300) *= 1000; }},
      {"a key times 1e9 that nobody looks at",
       [](Inputs& in) {
         in.query.select(3, 5).fill_(0.0);
         in.key.select(2, 100).fill_(0.0).select(2, 5).fill_(1e9);
       }},
      {"a channel times 50", [](Inputs& in) { in.key.select(3, 17) *= 50; }},
      {"a channel of keys that the queries do not use",
       [](Inputs& in) {
         in.key.select(3, 3) *= 1e6;
         in.query.select(3, 3).fill_(0.0);
       }},
      {"a channel of queries that the keys do not use",
       [](Inputs& in) {
         in.query.select(3, 3) *= 1e6;
         in.key.select(3, 3).fill_(0.0);
       }},
      {"a zero query every 90 rows", [](Inputs& in) { in.query.slice(2, 0, std::nullopt, 90).fill_(0.0); }},
      {"a zero key every 3 rows", [](Inputs& in) { in.key.slice(2, 0, std::nullopt, 3).fill_(0.0); }},
      {"zero except one coordinate",
       [](Inputs& in) {
         in.query.narrow(3, 1, 63).fill_(0.0);
         in.key.narrow(3, 1, 63).fill_(0.0);
       }},
      {"all keys but the first far below",
       [](Inputs& in) {
         in.query.select(3, 0).fill_(20.0);
         in.key.select(3, 0).fill_(-20.0);
         in.key.select(2, 0).select(2, 0).fill_(20.0);
       }},
  });
}

// Coordinate 0 of one key per block is so large that all other coordinates get code 0, and every query is 0
// there: the codes of a block are equal, the scores are not. Most keys of a block are far below in coordinate
// 1, so that rows stay narrow; the others differ by less (or more) than one step of the codes.
Inputs equal_codes(double step, double spread) {
  Inputs in = random_inputs(kHostileSizes, at::kFloat);
  in.query.select(3, 0).fill_(0.0);
  in.query.select(3, 1) = 4.0;
  in.key.narrow(3, 2, 62) *= spread;
  in.key.select(3, 1) = -30.0 * step;
  in.key.select(3, 1).slice(2, 0, std::nullopt, 16) = 0.0;
  in.key.select(3, 0) = 0.0;
  in.key.select(3, 0).slice(2, 0, std::nullopt, 64) = 127.0 * step;
  return in;
}

TEST(ExactAttentionHostileTest, CodesThatSayNothing) {
  int64_t narrow = 0;
  for (const double step : {0.1, 1.0, 10.0}) {
    for (const double spread : {0.01, 0.1, 0.3, 1.0}) {
      for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
        const test::ExactCase of{equal_codes(step, spread), {}, normalizer};
        narrow += kernel_support(of.call()).all_narrow ? 1 : 0;
        expect_matches_definition(of, "step " + std::to_string(step) + ", spread " + std::to_string(spread));
      }
    }
  }
  EXPECT_GE(narrow, 8) << "most of these problems are meant for the exact path";
}

// The choice of a path looks at the last block of a head first, and at every block by itself.
TEST(ExactAttentionHostileTest, WideAndNarrowBlocksInOneHead) {
  const Sizes sizes{1, 3, 1, 400, 700, 32, 32};
  const auto run = [&](const std::string& name, const std::function<void(at::Tensor&)>& flatten) {
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        Inputs in = random_inputs(sizes, at::kFloat);
        flatten(in.query);
        const test::ExactCase of{in.to(dtype), {}, normalizer};
        expect_matches_definition(of, name);
        const test::KernelSupport kernel = kernel_support(of.call());
        EXPECT_FALSE(kernel.all_narrow) << name;
        EXPECT_FALSE(kernel.all_wide) << name;
      }
    }
  };
  run("last narrow, others flat", [](at::Tensor& query) { query.narrow(2, 0, 300) *= 0.003; });
  run("every other block flat", [](at::Tensor& query) {
    for (const int64_t begin : {0, 192}) query.narrow(2, begin, 96) *= 0.003;
  });
  run("one head flat", [](at::Tensor& query) { query.select(1, 1) *= 0.003; });
  Inputs in = random_inputs(sizes, at::kFloat);
  in.query.narrow(2, 304, 96) *= 0.003;
  expect_matches_definition({in}, "last flat, others narrow");
}

// Few weights are kept as entries, many as rows, rows that are too long not at all; gradients agree each
// time.
TEST(ExactAttentionHostileTest, WhatWideBlocksKeep) {
  const auto run = [](double factor, int64_t keys, const SparseMask& mask, bool entries, bool rows) {
    Inputs in = random_inputs({1, 4, 2, 130, keys, 32, 48}, at::kFloat);
    in.query *= factor;
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      if (entries && normalizer == Normalizer::entmax15) continue;  // wider at these scores
      const test::ExactCase of{in, mask, normalizer};
      const std::string label = "factor " + std::to_string(factor) + ", keys " + std::to_string(keys);
      expect_matches_definition(of, label);
      const test::KernelSupport kernel = kernel_support(of.call());
      ASSERT_EQ(kernel.saved.size(), 5U);
      EXPECT_TRUE(kernel.all_wide) << label;
      EXPECT_EQ(kernel.saved[3].lt(0).all().item<bool>(), entries) << label;
      EXPECT_EQ(kernel.saved[4].numel() > 0, rows) << label;
    }
  };
  SparseMask causal;
  causal.causal = true;
  SparseMask window;
  window.window = 500;
  run(0.001, 700, {}, false, true);
  run(0.0, 150, causal, false, true);
  run(0.0, 1500, window, false, true);
  run(0.015, 900, {}, true, false);
  run(0.008, 2100, {}, true, false);
  run(0.001, 2100, {}, false, false);
  EXPECT_EQ(cpu::exact::kept_row(2041, 300), 2048);
  EXPECT_EQ(cpu::exact::kept_row(2041, 400), 0) << "a call keeps at most 256 MiB of rows";
}

// Bytes of up to 255 times up to 127: a sum over more than 66,311 coordinates may leave 32 bits, so such
// widths go the dense way.
TEST(ExactAttentionHostileTest, AsWideAsSumsOfCodesGet) {
  constexpr int64_t kWidth = 66400;
  Inputs in = random_inputs({1, 1, 1, 1, 330, 16, 16}, at::kFloat);
  in.query = torch::ones({1, 1, 1, kWidth});
  // Scores from 1 to 128 (so that the seed at the end is narrow), and one of 257 far from it.
  in.key = torch::linspace(0.005, 0.5, 330).view({1, 1, 330, 1}).repeat({1, 1, 1, kWidth});
  in.key[0][0][10].fill_(1.0);
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    const AttentionSupport support =
        sparse_mask_attention_support(in.query, in.key, in.value, {}, normalizer);
    EXPECT_TRUE(tensors_equal(support.key_indices, torch::tensor({10}, torch::kLong)));
    EXPECT_EQ(support.weights.item<double>(), 1.0);
  }
}

TEST(ExactAttentionHostileTest, CountersAddUp) {
  for (const double factor : {0.003, 1.0}) {
    Inputs in = random_inputs({2, 2, 1, 300, 700, 32, 32}, at::kFloat);
    in.query *= factor;
    const AttentionSupport support =
        sparse_mask_attention_support(in.query, in.key, in.value, {}, Normalizer::sparsemax);
    const auto counter = [&](int64_t i) { return support.counters.select(-1, i).flatten(); };
    const at::Tensor pairs = torch::full({4}, 300 * 700, torch::kLong);
    EXPECT_TRUE(counter(0).add(counter(3)).add(counter(4)).ge(pairs).all().item<bool>())
        << "every pair was scored, skipped or left to the dense path";
    const at::Tensor sizes = support.row_offsets.diff().view({4, 300}).sum(-1);
    EXPECT_TRUE(tensors_equal(counter(2), sizes)) << "pairs with a weight";
    EXPECT_TRUE(counter(5).ge(700 * 32).all().item<bool>()) << "every code or number is read";
    if (factor == 1.0) {
      EXPECT_TRUE(counter(1).ge(sizes).all().item<bool>());
      EXPECT_EQ(counter(4).sum().item<int64_t>(), 0);
    } else {
      EXPECT_TRUE(tensors_equal(counter(4), pairs)) << "flat: all dense";
      EXPECT_TRUE(counter(5).ge(700 * 2 * 32 * 4).all().item<bool>()) << "keys and values are read";
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops
