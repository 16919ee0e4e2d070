// The bound behind exact sparse attention, searched for a violation: quantise, seed and filter of the chosen
// instruction set on random and adversarial problems. Invariant (Note [Exact by bounds]): a key that is not
// marked has a score, taken in double, at or below the row's bound; a bound of the seed is at or below the
// row's threshold in double. GR_FUZZ_ROWS sets the number of query rows (20,000 unless set).
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cpu/exact/block.h"
#include "tests/ops/exact_attention_numbers.h"

namespace giantrabbit::ops {
namespace {

using cpu::exact::kBlockKeys;
using cpu::exact::kBlockQueries;
using cpu::exact::kLimitStride;
using cpu::exact::kPassBlocks;
using cpu::exact::kSeedBlocks;
using cpu::exact::kWordStride;
using test::Matrix;
using test::padded;
using test::Random;

constexpr uint64_t kFuzzSeed = 20261127;

// What the functions of the table work on, and the same scores in double.
class BoundProblem {
 public:
  explicit BoundProblem(uint64_t seed)
      : random_(seed),
        columns_(random_.once_in(3) ? 1 + random_.below(300) : 16 * (1 + random_.below(8))),
        queries_(test::random_matrix(1 + random_.below(kBlockQueries), columns_, random_)),
        keys_(test::random_matrix(1 + random_.below(random_.once_in(8) ? 1500 : 500), columns_, random_)),
        scale_(static_cast<float>(random_.once_in(2) ? 1.0 / std::sqrt(static_cast<double>(columns_))
                                                     : std::pow(10.0, random_.uniform(-3.0, 1.0)))),
        key_blocks_(padded(keys_.rows, kBlockKeys) / kBlockKeys) {
    if (random_.once_in(3)) test::align_matrices(queries_, keys_, columns_, random_);
    score();
    allocate();
  }

  int64_t rows() const { return queries_.rows; }

  // False if the numbers cannot be coded.
  bool quantise() {
    const auto& functions = cpu::exact::chosen_functions();
    return functions.quantise_keys(keys_.view(), keys_.rows, keys_.width, codes_, 0, key_blocks_) &&
           functions.quantise_queries(queries_.view(), scale_, codes_.steps, of_);
  }

  void check_seed() {
    const int64_t count = std::min(key_blocks_, kSeedBlocks);
    pass_.first = key_blocks_ - count;
    pass_.count = pass_.left = count;
    pass_.gap = 0;
    for (int64_t first = 0; first < rows(); first += 48) {
      cpu::exact::chosen_functions().seed(codes_, of_, pass_, first, std::min<int64_t>(first + 48, rows()));
    }
    expect_sound("seed");
    for (int64_t i = 0; i < rows(); ++i) {
      const double threshold = seed_threshold(i);
      EXPECT_LE(of_.bound[i], threshold) << "bound of row " << i << " above its threshold";
    }
  }

  // With the seed's bounds, and with bounds that lie just below the score of some key.
  void check_filter() {
    // Two stretches of blocks around a gap.
    pass_.gap = random_.below(std::min<int64_t>(key_blocks_, 5));
    pass_.count = std::min(key_blocks_ - pass_.gap, kPassBlocks);
    pass_.left = random_.below(pass_.count + 1);
    pass_.first = random_.below(key_blocks_ - pass_.gap - pass_.count + 1);
    run_filter("filter, bounds of the seed");
    for (int round = 0; round < 3; ++round) {
      for (int64_t i = 0; i < rows(); ++i) {
        const double near = scores_[static_cast<size_t>(i * keys_.rows + random_.below(keys_.rows))];
        auto bound = static_cast<float>(near);
        while (static_cast<double>(bound) >= near) bound = std::nextafter(bound, -INFINITY);
        of_.bound[i] = bound;
      }
      run_filter("filter, bounds just below a score");
    }
  }

 private:
  void score() {
    scores_.resize(static_cast<size_t>(rows() * keys_.rows));
    for (int64_t i = 0; i < rows(); ++i) {
      for (int64_t j = 0; j < keys_.rows; ++j) {
        double sum = 0.0;
        for (int64_t k = 0; k < columns_; ++k) {
          sum += static_cast<double>(queries_.row(i)[k]) * static_cast<double>(keys_.row(j)[k]);
        }
        scores_[static_cast<size_t>(i * keys_.rows + j)] = sum * static_cast<double>(scale_);
      }
    }
  }

  template <class T>
  T* room(int64_t count) {
    constexpr size_t kLine = 64;
    memory_.emplace_back(static_cast<size_t>(count) * sizeof(T) + 4 * kLine);
    const auto address = reinterpret_cast<uintptr_t>(memory_.back().data());
    return reinterpret_cast<T*>((address + kLine - 1) / kLine * kLine);
  }

  void allocate() {
    const auto& functions = cpu::exact::chosen_functions();
    const int64_t steps = padded(keys_.width / functions.coordinates_per_step, functions.step_multiple);
    codes_ = {steps,
              room<uint32_t>(key_blocks_ * steps * kBlockKeys),
              room<float>(key_blocks_),
              room<float>(key_blocks_),
              room<float>(key_blocks_),
              room<float>(key_blocks_)};
    of_.rule = random_.once_in(2) ? cpu::exact::Rule::sparsemax : cpu::exact::Rule::entmax15;
    of_.rows = rows();
    of_.width = keys_.width;
    of_.queries = room<float>(kBlockQueries * keys_.width);
    of_.codes = room<uint32_t>(kBlockQueries * steps);
    for (float** array :
         {&of_.scale, &of_.inverse, &of_.norm, &of_.error, &of_.bound, &of_.maximum, &of_.tau}) {
      *array = room<float>(kBlockQueries);
    }
    of_.offset = room<int32_t>(kBlockQueries);
    std::fill_n(of_.bound, kBlockQueries, -INFINITY);
    pass_.words = room<uint64_t>(kBlockQueries * kWordStride);
    pass_.limits = room<int32_t>(kBlockQueries * kLimitStride);
    allocate_mask();
  }

  void allocate_mask() {
    begin_.resize(kBlockQueries, 0);
    end_.resize(kBlockQueries, static_cast<int32_t>(keys_.rows));
    const bool ranges = random_.once_in(3);
    for (int64_t i = 0; ranges && i < rows(); ++i) {
      const auto a = static_cast<int32_t>(random_.below(keys_.rows + 1));
      const auto b = static_cast<int32_t>(random_.below(keys_.rows + 1));
      begin_[static_cast<size_t>(i)] = a == b ? 0 : std::min(a, b);
      end_[static_cast<size_t>(i)] = a == b ? 0 : std::max(a, b);
    }
    of_.begin = begin_.data();
    of_.end = end_.data();
    if (!random_.once_in(4)) return;
    listed_.resize(static_cast<size_t>(kBlockQueries * key_blocks_));
    for (uint64_t& word : listed_) word = random_.word() & random_.word();
    of_.listed = listed_.data();
    of_.listed_blocks = key_blocks_;
  }

  bool sees(int64_t i, int64_t key) const {
    if (key < begin_[static_cast<size_t>(i)] || key >= end_[static_cast<size_t>(i)]) return false;
    return listed_.empty() ||
           (listed_[static_cast<size_t>(i * key_blocks_ + key / kBlockKeys)] >> (key % kBlockKeys) & 1) != 0;
  }

  void run_filter(const char* what) {
    cpu::exact::chosen_functions().filter(codes_, of_, pass_);
    expect_sound(what);
  }

  void expect_sound(const char* what) const {
    for (int64_t i = 0; i < rows(); ++i) {
      for (int64_t b = 0; b < pass_.count; ++b) {
        const uint64_t word = pass_.words[i * kWordStride + b];
        const int64_t first = (pass_.first + b + (b < pass_.left ? 0 : pass_.gap)) * kBlockKeys;
        for (int64_t key = first; key < first + kBlockKeys; ++key) {
          const bool marked = (word >> (key - first) & 1) != 0;
          const bool visible = key < keys_.rows && sees(i, key);
          if (marked && !visible) ADD_FAILURE() << what << ": a hidden key is marked";
          if (marked || !visible) continue;
          const double score = scores_[static_cast<size_t>(i * keys_.rows + key)];
          if (score > static_cast<double>(of_.bound[i])) {
            ADD_FAILURE() << what << ": row " << i << ", key " << key << ", score " << score
                          << " above the bound " << of_.bound[i] << " by " << score - of_.bound[i]
                          << ", width " << columns_ << ", not marked";
          }
        }
      }
    }
  }

  // In units of scores, over the keys of the seed; -infinity if the row sees none of them.
  double seed_threshold(int64_t i) const {
    const bool sparsemax = of_.rule == cpu::exact::Rule::sparsemax;
    std::vector<double> sorted;
    for (int64_t key = pass_.first * kBlockKeys; key < keys_.rows; ++key) {
      if (sees(i, key)) sorted.push_back(scores_[static_cast<size_t>(i * keys_.rows + key)]);
    }
    if (sorted.empty()) return -INFINITY;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const double largest = sorted.front();
    double sum = 0.0;
    double squares = 0.0;
    double tau = 0.0;
    for (size_t m = 0; m < sorted.size(); ++m) {
      const double y = (sorted[m] - largest) * (sparsemax ? 1.0 : 0.5);
      if (m > 0 && y <= tau) break;
      sum += y;
      squares += y * y;
      const double count = static_cast<double>(m + 1);
      const double room_left = std::max(0.0, 1.0 - (squares - sum * sum / count)) / count;
      tau = sparsemax ? (sum - 1.0) / count : sum / count - std::sqrt(room_left);
    }
    return largest + (sparsemax ? 1.0 : 2.0) * tau;
  }

  Random random_;
  int64_t columns_;
  Matrix queries_;
  Matrix keys_;
  float scale_;
  int64_t key_blocks_;
  std::vector<double> scores_;
  std::vector<std::vector<char>> memory_;
  std::vector<int32_t> begin_;
  std::vector<int32_t> end_;
  std::vector<uint64_t> listed_;
  cpu::exact::KeyCodes codes_{};
  cpu::exact::QueryRows of_{};
  cpu::exact::Pass pass_{};
};

TEST(ExactAttentionBoundTest, NoKeyAboveTheBoundIsDropped) {
  const char* wanted = std::getenv("GR_FUZZ_ROWS");
  const int64_t rows = wanted != nullptr ? std::atoll(wanted) : 20000;
  int64_t done = 0;
  int64_t coded = 0;
  for (uint64_t number = 0; done < rows; ++number) {
    SCOPED_TRACE("problem " + std::to_string(number) + " of seed " + std::to_string(kFuzzSeed));
    BoundProblem problem(kFuzzSeed + number);
    done += problem.rows();
    if (!problem.quantise()) continue;
    coded += problem.rows();
    problem.check_seed();
    problem.check_filter();
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(coded, done * 9 / 10) << "most problems can be coded";
  RecordProperty("rows", std::to_string(coded));
}

}  // namespace
}  // namespace giantrabbit::ops
