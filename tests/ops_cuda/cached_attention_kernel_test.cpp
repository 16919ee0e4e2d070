// The CUDA kernels of the paged cache under the emulator: contents and bounds, attention against the
// definition on random and hostile numbers, the same bits under every schedule, and what is not read.
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/cached_cases.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::under_every_schedule;

constexpr Normalizer kCachedNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax,
                                             Normalizer::entmax15};

#if defined(GR_SHORT_TESTS)
using CachedTypes = ::testing::Types<float>;
#else
using CachedTypes = ::testing::Types<float, __nv_bfloat16, __half>;
#endif

template <class Stored>
class CachedAttentionCudaTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  // 16-bit types differ from float in loads and stores only.
  static constexpr bool kFew = sizeof(Stored) == 2 || kShortTests;

  static std::vector<Stored> attend_once(Normalizer normalizer, const CachedTensors<Stored>& tensors) {
    std::mt19937_64 same(kRowSeed);
    PagedCache<Stored> cache(tensors, same);
    cache.append_all(100);
    return cache.attend(normalizer);
  }

  static std::vector<Stored> attend(Normalizer normalizer, const CachedTensors<Stored>& tensors) {
    std::vector<Stored> first;
    under_every_schedule([&] {
      const std::vector<Stored> result = attend_once(normalizer, tensors);
      if (first.empty()) first = result;
      EXPECT_TRUE(same_bits(first, result));
    });
    return first;
  }

  // How far rounding may move a result: scores are off by at most (d + 4) 2^-24 |q| |k|, a weight by twice
  // that, and a support sums as many of them; softmax in proportion to its weights.
  static double tolerance(const CachedTensors<Stored>& tensors, Normalizer normalizer, const Row& weights) {
    const auto largest_norm = [&](const std::vector<Stored>& of) {
      double largest = 0.0;
      const auto width = static_cast<size_t>(tensors.sizes.width);
      for (size_t row = 0; width > 0 && row < of.size() / width; ++row) {
        const Row numbers = row_of(of, row, width);
        const double squares = std::inner_product(numbers.begin(), numbers.end(), numbers.begin(), 0.0);
        largest = std::max(largest, std::sqrt(squares));
      }
      return largest;
    };
    const double support = normalizer == Normalizer::softmax
                               ? 1.0
                               : static_cast<double>(weights.size()) -
                                     static_cast<double>(std::count(weights.begin(), weights.end(), 0.0));
    const double score_error = static_cast<double>(tensors.sizes.width + 4) * 0x1p-24 *
                               largest_norm(tensors.query) * largest_norm(tensors.key) *
                               std::abs(tensors.sizes.scale);
    return (2.0 * support * std::min(1.0, score_error) + 2e-6) * 5.0;  // values are below 5
  }

  static void expect_definition(const CachedTensors<Stored>& tensors, bool every_schedule = true) {
    const CachedCase& sizes = tensors.sizes;
    for (const Normalizer normalizer : kCachedNormalizers) {
      const std::vector<Stored> results =
          every_schedule ? attend(normalizer, tensors) : attend_once(normalizer, tensors);
      for (int64_t row = 0; row < tensors.rows(); ++row) {
        const int64_t b = row / sizes.queries / sizes.heads;
        const int64_t h = row / sizes.queries % sizes.heads;
        const int64_t m = row % sizes.queries;
        const Row actual = row_of(results, static_cast<size_t>(row), static_cast<size_t>(sizes.value_width));
        EXPECT_TRUE(close(actual, tensors.wanted(normalizer, b, h, m),
                          tolerance(tensors, normalizer, tensors.weights(normalizer, b, h, m)),
                          kRounding<Stored>))
            << "normalizer " << static_cast<int>(normalizer) << ", query " << m << " of head " << h
            << " of sequence " << b;
      }
    }
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(CachedAttentionCudaTest, CachedTypes);

TYPED_TEST(CachedAttentionCudaTest, LengthsWidthsAndGroups) {
  for (const int64_t keys : {1, 31, 32, 33, 64, 65, 320}) {
    if (this->kFew && keys != 65) continue;
    SCOPED_TRACE(keys);
    this->expect_definition(CachedTensors<TypeParam>({.lengths = {keys}}, this->random));
  }
  for (const int64_t width : {0, 1, 17, 64}) {
    if (this->kFew && width != 17) continue;
    SCOPED_TRACE(width);
    this->expect_definition(CachedTensors<TypeParam>({.lengths = {150},
                                                      .heads = 4,
                                                      .key_heads = 2,
                                                      .width = width,
                                                      .value_width = width == 64 ? 257 : width + 3},
                                                     this->random));
  }
}

TYPED_TEST(CachedAttentionCudaTest, SeveralQueriesRaggedLengthsAndWindows) {
  for (const int64_t window : {0, 1, 70}) {
    if (this->kFew && (window != 70 || sizeof(TypeParam) == 2)) continue;
    SCOPED_TRACE(window);
    this->expect_definition(CachedTensors<TypeParam>(
        {.lengths = {150, 0, 3, 64}, .heads = 2, .key_heads = 1, .queries = 3, .window = window},
        this->random));
  }
}

// What defeats careless bounds; see tests/ops/cached_cases.h.
TYPED_TEST(CachedAttentionCudaTest, HostileNumbers) {
  using Tensors = CachedTensors<TypeParam>;
  const auto multiply = [](std::vector<TypeParam>& numbers, double factor) {
    for (TypeParam& number : numbers) number = stored<TypeParam>(read(number) * factor);
  };
  const auto expect_changed = [&](const char* name, double scale,
                                  const std::function<void(Tensors&)>& change) {
    SCOPED_TRACE(name);
    Tensors tensors({.lengths = {200}, .heads = 1, .scale = scale}, this->random);
    change(tensors);
    this->expect_definition(tensors, /*every_schedule=*/false);
  };
  const auto nothing = [](Tensors&) {};
  expect_changed("flat", 0.001, nothing);
  expect_changed("sharp", 10.0, nothing);
  expect_changed("scale 0", 0.0, nothing);
  // The codes of the best key see its two huge numbers only, which cancel.
  expect_changed("hidden by huge channels", 1.0, [](Tensors& of) {
    for (TypeParam& number : of.query) number = stored<TypeParam>(1.0);
    for (TypeParam& number : of.key) number = stored<TypeParam>(-1.0);
    for (size_t c = 0; c < 8; ++c) of.key[90 * 8 + c] = stored<TypeParam>(0.1875);
    for (size_t c = 0; c < 8; ++c)
      of.key[20 * 8 + c] = stored<TypeParam>(c == 0 ? 100.0 : c == 1 ? -100.0 : 0.3);
  });
  if (this->kFew) return;  // and the range of float16 is too small
  expect_changed("negative scale", -0.4, nothing);
  expect_changed("zero keys", 0.4, [&](Tensors& of) { multiply(of.key, 0.0); });
  expect_changed("zero query", 0.4, [&](Tensors& of) { multiply(of.query, 0.0); });
  expect_changed("ties", 0.25, [](Tensors& of) {
    for (auto* numbers : {&of.key, &of.query})
      for (TypeParam& number : *numbers) number = stored<TypeParam>(read(number) < 0.0 ? -1.0 : 1.0);
  });
  expect_changed("duplicates", 0.4, [](Tensors& of) {
    for (size_t i = 64 * 8; i < of.key.size(); ++i) of.key[i] = of.key[i % (64 * 8)];
  });
  expect_changed("constant keys", 0.4, [](Tensors& of) {
    for (size_t i = 8; i < of.key.size(); ++i) of.key[i] = of.key[i % 8];
  });
  expect_changed("huge key", 0.4, [](Tensors& of) {
    for (size_t i = 100 * 8; i < 101 * 8; ++i) of.key[i] = stored<TypeParam>(read(of.key[i]) * 1000.0);
  });
  expect_changed("huge channel", 0.4, [](Tensors& of) {
    for (size_t i = 1; i < of.key.size(); i += 8) of.key[i] = stored<TypeParam>(read(of.key[i]) * 50.0);
  });
  expect_changed("huge", 0.4, [&](Tensors& of) {
    multiply(of.key, 1e15);
    multiply(of.query, 1e-15);
  });
  expect_changed("huge scores", 0.4, [&](Tensors& of) { multiply(of.key, 1e20); });
  expect_changed("scores beyond the bounds", 0.4, [&](Tensors& of) { multiply(of.key, -1e32); });
  expect_changed("tiny", 0.4, [&](Tensors& of) {
    multiply(of.key, 1e-20);
    multiply(of.query, 1e20);
  });
  expect_changed("denormal keys", 0.4, [&](Tensors& of) { multiply(of.key, 1e-40); });
  expect_changed("tiny queries", 0.4, [&](Tensors& of) { multiply(of.query, 1e-35); });
  expect_changed("increasing", 0.4, [](Tensors& of) {
    for (size_t i = 0; i < of.key.size(); ++i)
      of.key[i] = stored<TypeParam>(read(of.key[i]) * static_cast<double>(i) / 1000.0);
  });
}

#if !defined(GR_SHORT_TESTS)
using WideCachedAttentionCudaTest = CachedAttentionCudaTest<float>;

// Scores so close to one another that every key has a weight, and more of them than the lists of a block
// hold. Takes long, and what was read from another type is the same from there on.
TEST_F(WideCachedAttentionCudaTest, RowsWiderThanTheLists) {
  const CachedTensors<float> tensors(
      {.lengths = {1300}, .heads = 1, .width = 2, .value_width = 2, .scale = 1e-6}, random);
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    // 1300 terms of 1/1300 each, rounded once each.
    EXPECT_TRUE(close(row_of(attend(normalizer, tensors), 0, 2), tensors.wanted(normalizer, 0, 0, 0), 2e-6,
                      kRounding<float>));
  }
}
#endif

TYPED_TEST(CachedAttentionCudaTest, NumbersThatAreNotFinite) {
  for (const Normalizer normalizer : kCachedNormalizers) {
    if (this->kFew && normalizer != Normalizer::sparsemax) continue;
    CachedTensors<TypeParam> tensors({.lengths = {130, 130}, .heads = 1}, this->random);
    tensors.query[0] = tensors.query[8] = stored<TypeParam>(1.0);
    const auto undefined_with = [&](double number, size_t key, size_t query) {
      CachedTensors<TypeParam> changed = tensors;
      if (key != 0) changed.key[key] = stored<TypeParam>(number);
      if (query != 0) changed.query[query] = stored<TypeParam>(number);
      const std::vector<TypeParam> result = this->attend_once(normalizer, changed);
      EXPECT_FALSE(std::isnan(read(result[0])));  // the first sequence
      return std::isnan(read(result[5])) && std::isnan(read(result[9]));
    };
    const size_t key = (130 + 70) * 8;
    EXPECT_TRUE(undefined_with(NAN, key, 0));
    EXPECT_TRUE(undefined_with(INFINITY, key, 0));
    EXPECT_TRUE(undefined_with(NAN, 0, 8));
    EXPECT_FALSE(undefined_with(-INFINITY, key, 0));  // a score of -inf takes its key away
  }
}

// Keys within their bounds, whatever they are, and balls that hold their pages.
TYPED_TEST(CachedAttentionCudaTest, BoundsHold) {
  for (const double factor : {1.0, 1e-3, 1e-8, 1e4}) {
    CachedTensors<TypeParam> tensors({.lengths = {128}, .key_heads = 2, .width = 19}, this->random);
    for (size_t i = 0; i < tensors.key.size(); ++i)
      tensors.key[i] = stored<TypeParam>(read(tensors.key[i]) * (i % 7 == 0 ? factor : 1.0));
    PagedCache<TypeParam> cache(tensors, this->random);
    cache.append_all(50);
    for (int64_t page = 0; page < 2; ++page) {
      const size_t place = cache.place(0, page, 1);
      for (size_t token = 0; token < 64; ++token) {
        const CacheCode bounds = cache.bounds(place, token);
        double error = 0.0;
        double norm = 0.0;
        double distance = 0.0;
        for (size_t c = 0; c < 19; ++c) {
          const double number = read(cache.key(place, token)[c]);
          const double coded = static_cast<double>(bounds.scale) * cache.code(place, token, c);
          const double from_centre = number - static_cast<double>(cache.centre(place)[c]);
          error += (number - coded) * (number - coded);
          norm += coded * coded;
          distance += from_centre * from_centre;
        }
        EXPECT_LE(std::sqrt(error), static_cast<double>(bounds.error));
        EXPECT_LE(std::sqrt(norm), static_cast<double>(bounds.norm));
        // Half a code and its rounding, no more: the bound is worth something.
        EXPECT_LE(static_cast<double>(bounds.error),
                  0.55 * std::sqrt(19.0) * static_cast<double>(bounds.scale));
        EXPECT_LE(std::sqrt(distance), static_cast<double>(cache.ball(place).radius));
      }
    }
  }
}

// Whatever the cuts, tokens land where they belong and have the same codes.
TYPED_TEST(CachedAttentionCudaTest, CutsDoNotChangeContents) {
  const CachedTensors<TypeParam> tensors({.lengths = {200, 0, 64}, .key_heads = 2, .width = 6}, this->random);
  std::mt19937_64 same(kRowSeed);
  PagedCache<TypeParam> whole(tensors, same);
  whole.append_all(200);
  for (const int64_t cut : {1, 63, 64, 65}) {
    if (this->kFew && cut == 1) continue;
    same.seed(kRowSeed);
    PagedCache<TypeParam> cache(tensors, same);
    cache.append_all(cut);
    for (const int64_t b : {0, 2}) {
      for (int64_t i = 0; i < tensors.sizes.lengths[static_cast<size_t>(b)]; ++i) {
        const size_t place = cache.place(b, i / 64, 1);
        const auto token = static_cast<size_t>(i % 64);
        const CacheCode bounds = cache.bounds(place, token);
        EXPECT_EQ(std::memcmp(&bounds, &whole.bounds(place, token), sizeof(bounds)), 0);
        for (size_t c = 0; c < 6; ++c) {
          EXPECT_EQ(read(cache.key(place, token)[c]), read(tensors.key[tensors.key_at(b, i, 1) * 6 + c]));
          EXPECT_EQ(cache.code(place, token, c), whole.code(place, token, c));
        }
        for (size_t c = 0; c < 5; ++c)
          EXPECT_EQ(read(cache.value(place, token)[c]), read(tensors.value[tensors.key_at(b, i, 1) * 5 + c]));
        if (token == 63) {
          EXPECT_EQ(cache.ball(place).radius, whole.ball(place).radius);
        }
      }
    }
  }
}

// One page of four is near the query. The others' codes are not read, and of this one only the keys that may
// have a weight; no other value is.
TYPED_TEST(CachedAttentionCudaTest, WhatBoundsRuleOutIsNotRead) {
  CachedTensors<TypeParam> tensors({.lengths = {256}, .heads = 1, .scale = 1.0}, this->random);
  for (TypeParam& number : tensors.query) number = stored<TypeParam>(1.0);
  for (size_t i = 0; i < tensors.key.size(); ++i) {
    const size_t token = i / 8;
    const double near = token % 64 == 5 || token % 64 == 9 ? 3.0 : 2.0;
    tensors.key[i] = stored<TypeParam>((token / 64 == 2 ? near : -1.0) + 0.01 * read(tensors.key[i]));
  }
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    PagedCache<TypeParam> cache(tensors, this->random);
    cache.append_all(256);
    for (int64_t page = 0; page < 4; ++page) {
      const size_t place = cache.place(0, page, 0);
      for (size_t token = 0; token < 64; ++token) {
        if (page == 2 && (token == 5 || token == 9)) continue;
        for (size_t c = 0; c < 8; ++c) cache.key(place, token)[c] = stored<TypeParam>(NAN);
        for (size_t c = 0; c < 5; ++c) cache.value(place, token)[c] = stored<TypeParam>(NAN);
        // A key whose bound says nothing would be scored, and is NaN.
        if (page != 2) cache.bounds(place, token).error = INFINITY;
      }
    }
    EXPECT_TRUE(close(row_of(cache.attend(normalizer), 0, 5), tensors.wanted(normalizer, 0, 0, 0), 1e-4,
                      kRounding<TypeParam>));
  }
}

TYPED_TEST(CachedAttentionCudaTest, WrongProblems) {
  const auto result_of = [](const CachePages& pages, const CachedProblem& problem, Dtype dtype) {
    return launch_cached_attention(Normalizer::sparsemax, dtype, pages, {1, nullptr, 2, nullptr}, problem, {},
                                   nullptr);
  };
  const CachePages pages{2, 4, 4, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  const CachedProblem none{0, 1, nullptr, {}, nullptr, 1.0, 0, 2};
  EXPECT_EQ(result_of(pages, none, kDtype<TypeParam>), cudaSuccess);
  CachedProblem problem = none;
  problem.heads = 3;
  EXPECT_EQ(result_of(pages, problem, kDtype<TypeParam>), cudaErrorInvalidValue);
  problem = none;
  problem.most_pages = 3;
  EXPECT_EQ(result_of(pages, problem, kDtype<TypeParam>), cudaErrorInvalidValue);
  EXPECT_EQ(result_of(pages, none, Dtype::float64), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
