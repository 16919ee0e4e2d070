// In: a source of examples. Out: batches of about `tokens` padded target tokens. Kept invariant: pool p holds
// the examples p * pool_size .. and its batches depend on (source, tokens, seed, p) alone.
#include "data/batcher.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "data/counter_rng.h"

namespace giantrabbit::data {
namespace {

constexpr uint64_t pool_size = 1024;
// Lengths of batches are multiples of this: libraries prepare their products for every shape anew and keep
// what they prepared, so thousands of shapes would cost time and gigabytes.
constexpr int64_t length_multiple = 8;

}  // namespace

Batcher::Batcher(const Dataset& source, int64_t tokens, uint64_t seed, int64_t positions)
    : source_(source), tokens_(tokens), seed_(seed), positions_(positions) {
  if (tokens <= 0)
    throw std::invalid_argument(fmt::format("batcher: tokens must be positive, got {}", tokens));
}

Batch Batcher::next() {
  fill();
  Batch batch = make_batch(batches_[position_.batch], length_multiple, positions_);
  advance();
  return batch;
}

int64_t Batcher::skip() {
  fill();
  int64_t tokens = 0;
  for (const Example& example : batches_[position_.batch]) tokens += std::ssize(example.target);
  advance();
  return tokens;
}

void Batcher::advance() {
  if (++position_.batch == batches_.size()) position_ = {position_.pool + 1, 0};
}

void Batcher::seek(Position position) {
  const Position before = std::exchange(position_, {position.pool, 0});
  fill();
  if (position.batch >= batches_.size()) {
    position_ = before;
    throw std::out_of_range(fmt::format("batcher: pool {} has {} batches, batch {} was asked for",
                                        position.pool, batches_.size(), position.batch));
  }
  position_ = position;
}

void Batcher::fill() {
  if (filled_pool_ == position_.pool) return;
  std::vector<Example> pool;
  pool.reserve(pool_size);
  for (uint64_t i = 0; i < pool_size; ++i) pool.push_back(source_.example(position_.pool * pool_size + i));
  std::stable_sort(pool.begin(), pool.end(), [](const Example& a, const Example& b) {
    return std::pair(a.target.size(), a.prompt.size()) < std::pair(b.target.size(), b.prompt.size());
  });
  batches_.clear();
  std::vector<Example> open;
  for (Example& example : pool) {
    // Sorted: this example would be the longest of its batch, so it alone decides the padded size.
    const int64_t length = rounded_up(std::ssize(example.target), length_multiple);
    const int64_t padded = (std::ssize(open) + 1) * length;
    if (!open.empty() && padded > tokens_) batches_.push_back(std::exchange(open, {}));
    open.push_back(std::move(example));
  }
  batches_.push_back(std::move(open));
  CounterRng rng{seed_, position_.pool};
  for (size_t i = batches_.size(); i > 1; --i) {
    std::swap(batches_[i - 1], batches_[static_cast<size_t>(rng.uniform(0, static_cast<int64_t>(i) - 1))]);
  }
  filled_pool_ = position_.pool;
}

}  // namespace giantrabbit::data
