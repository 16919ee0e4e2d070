// Fixture base for tests with random inputs: class MyTest : public Seeded<::testing::Test>. Every test starts
// from the same seed, and a failing one prints it.
#pragma once

#include <cstdint>
#include <iostream>

#include <gtest/gtest.h>

#include <ATen/Context.h>

namespace giantrabbit::test_support {

template <class Base>
class Seeded : public Base {
 protected:
  static constexpr uint64_t kRandomSeed = 1806;

  void SetUp() override { at::manual_seed(kRandomSeed); }
  void TearDown() override {
    if (this->HasFailure()) std::cout << "seed of the random inputs: " << kRandomSeed << '\n';
  }
};

}  // namespace giantrabbit::test_support
