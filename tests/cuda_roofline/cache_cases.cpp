// One query a sequence against a paged cache of random keys, 128 sequences of one head.
#include <numeric>
#include <tuple>

#include "ops/cuda/cache_kernels.h"
#include "tests/cuda_roofline/case_buffers.h"
#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {
namespace {

using ops::cuda::kPageTokens;

template <class Stored>
class Cache {
 public:
  Cache(int64_t length, int64_t sequences)
      : sequences_(sequences),
        row_((length + kPageTokens - 1) / kPageTokens),
        tokens_(sequences * row_ * kPageTokens),
        keys_(empty_buffer<Stored>(tokens_ * kHeadWidth)),
        values_(empty_buffer<Stored>(tokens_ * kHeadWidth)),
        codes_(empty_buffer<int32_t>(tokens_ * kHeadWidth / 4)),
        code_bounds_(empty_buffer<ops::cuda::CacheCode>(tokens_)),
        centres_(empty_buffer<float>(sequences * row_ * kHeadWidth)),
        balls_(empty_buffer<ops::cuda::CacheBall>(sequences * row_)),
        table_(pages_in_order(sequences * row_)),
        lengths_(filled_buffer<int64_t>(sequences, length)) {
    const auto none = filled_buffer<int64_t>(sequences, 0);
    const auto key = random_buffer<Stored>(sequences * length * kHeadWidth, 1.0F);
    const auto value = random_buffer<Stored>(sequences * length * kHeadWidth, 1.0F);
    const ops::cuda::HeadsLayout layout{length * kHeadWidth, kHeadWidth, kHeadWidth};
    check(
        ops::cuda::launch_cache_append(kDtype<Stored>, pages(), {sequences, table_->get(), row_, none->get()},
                                       {length, nullptr, key->get(), layout, value->get(), layout}, nullptr));
  }

  std::function<void()> attention(Normalizer normalizer) const {
    const auto query = random_buffer<Stored>(sequences_ * kHeadWidth, kSpread);
    const auto result = empty_buffer<Stored>(sequences_ * kHeadWidth);
    const ops::cuda::CachedProblem problem{
        1, 1, query->get(), {kHeadWidth, kHeadWidth, kHeadWidth}, result->get(), 0.125, 0, row_};
    const int64_t parts = sequences_ * ops::cuda::cached_parts(problem);
    const auto lower = empty_buffer<float>(tokens_), upper = empty_buffer<float>(tokens_);
    const auto page_bounds = empty_buffer<float>(sequences_ * row_);
    const auto thresholds = empty_buffer<double>(sequences_);
    const auto maxima = empty_buffer<float>(parts), totals = empty_buffer<float>(parts);
    const auto part_sums = empty_buffer<float>(parts * kHeadWidth);
    return [=, cache = *this, owned = std::tuple(query, result)] {
      check(ops::cuda::launch_cached_attention(
          normalizer, kDtype<Stored>, cache.pages(),
          {cache.sequences_, cache.table_->get(), cache.row_, cache.lengths_->get()}, problem,
          {lower->get(), upper->get(), page_bounds->get(), thresholds->get(), maxima->get(), totals->get(),
           part_sums->get()},
          nullptr));
    };
  }

 private:
  static std::shared_ptr<DeviceBuffer<int32_t>> pages_in_order(int64_t count) {
    std::vector<int32_t> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    return std::make_shared<DeviceBuffer<int32_t>>(numbers);
  }
  ops::cuda::CachePages pages() const {
    return {1,
            kHeadWidth,
            kHeadWidth,
            keys_->get(),
            values_->get(),
            codes_->get(),
            code_bounds_->get(),
            centres_->get(),
            balls_->get()};
  }

  int64_t sequences_;
  int64_t row_;     // pages of a sequence
  int64_t tokens_;  // of all pages
  std::shared_ptr<DeviceBuffer<Stored>> keys_, values_;
  std::shared_ptr<DeviceBuffer<int32_t>> codes_;
  std::shared_ptr<DeviceBuffer<ops::cuda::CacheCode>> code_bounds_;
  std::shared_ptr<DeviceBuffer<float>> centres_;
  std::shared_ptr<DeviceBuffer<ops::cuda::CacheBall>> balls_;
  std::shared_ptr<DeviceBuffer<int32_t>> table_;
  std::shared_ptr<DeviceBuffer<int64_t>> lengths_;
};

int64_t many_sequences(int64_t) { return 128; }

template <class Stored>
void add_cases_of(const std::string& dtype, std::vector<Case>& cases) {
  const auto add = [&](const char* name, Normalizer normalizer) {
    cases.push_back({name + dtype,
                     Kind::decoding,
                     sizeof(Stored),
                     1,
                     {1024, 2048, 3072, 4096},
                     2,
                     many_sequences,
                     [=](int64_t length, int64_t sequences) {
                       return Cache<Stored>(length, sequences).attention(normalizer);
                     }});
  };
  add("softmax decoding, ", Normalizer::softmax);
  add("sparsemax decoding, ", Normalizer::sparsemax);
}

}  // namespace

void add_cache_cases(std::vector<Case>& cases) {
  add_cases_of<float>("float32", cases);
  add_cases_of<__nv_bfloat16>("bfloat16", cases);
}

}  // namespace giantrabbit::roofline
