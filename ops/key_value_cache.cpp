// Checks and tensors around the sequences of ops/cpu/cache_sequence.h; see key_value_cache.h.
#include "ops/key_value_cache.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/cache_sequence.h"
#include "ops/cpu/cached_attention.h"

namespace giantrabbit::ops {
namespace {

at::Tensor as_float_rows(const at::Tensor& tensor) {
  const at::Tensor rows = tensor.detach().to(at::kFloat);
  return rows.size(-1) <= 1 || rows.stride(-1) == 1 ? rows : rows.contiguous();
}

void check_new_rows(const KeyValueCache::Sizes& sizes, const at::Tensor& key, const at::Tensor& value,
                    const std::optional<at::Tensor>& counts) {
  const auto is_cached = [](const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.is_floating_point() && tensor.scalar_type() != at::kDouble;
  };
  TORCH_CHECK(is_cached(key) && is_cached(value),
              "KeyValueCache: expected key and value in fp32 or a 16-bit floating dtype on the CPU, got ",
              key.scalar_type(), " and ", value.scalar_type());
  const bool fits = key.dim() == 4 && value.dim() == 4 && key.size(0) == sizes.batch &&
                    key.size(1) == sizes.heads && key.size(3) == sizes.width &&
                    value.size(3) == sizes.value_width &&
                    key.sizes().slice(0, 3) == value.sizes().slice(0, 3);
  TORCH_CHECK(fits, "KeyValueCache: expected key [", sizes.batch, ", ", sizes.heads, ", M, ", sizes.width,
              "] and value [", sizes.batch, ", ", sizes.heads, ", M, ", sizes.value_width, "], got ",
              key.sizes(), " and ", value.sizes());
  if (!counts) return;
  TORCH_CHECK(counts->scalar_type() == at::kLong && counts->dim() == 1 && counts->size(0) == sizes.batch,
              "KeyValueCache: expected counts [", sizes.batch, "] in int64, got ", counts->sizes(), " in ",
              counts->scalar_type());
  for (int64_t b = 0; b < sizes.batch; ++b) {
    const int64_t count = (*counts)[b].item<int64_t>();
    TORCH_CHECK(count >= 0 && count <= key.size(2), "KeyValueCache: expected counts between 0 and ",
                key.size(2), ", got ", count, " for sequence ", b);
  }
}

at::Tensor copy_rows(const KeyValueCache& cache, int64_t sequence, int64_t width,
                     cpu::CacheRows cpu::CachedHead::*rows) {
  const int64_t heads = cache.sizes().heads;
  const int64_t length = cache.length(sequence);
  const at::Tensor result = at::empty({heads, length, width}, at::kFloat);
  for (int64_t g = 0; g < heads && length > 0; ++g) {
    const cpu::CacheRows from = cache.sequence(sequence).head(g).*rows;
    result[g].copy_(
        at::from_blob(const_cast<float*>(from.data), {length, width}, {from.stride, 1}, at::kFloat));
  }
  return result;
}

}  // namespace

KeyValueCache::KeyValueCache(Sizes sizes, bool skippable) : sizes_(sizes) {
  TORCH_CHECK(sizes.batch >= 0 && sizes.heads >= 0 && sizes.width >= 0 && sizes.value_width >= 0,
              "KeyValueCache: expected sizes that are not negative, got batch ", sizes.batch, ", heads ",
              sizes.heads, ", width ", sizes.width, " and value width ", sizes.value_width);
  const bool with_codes =
      skippable && sizes.width > 0 && cpu::decode_functions(cpu::chosen_capability()).filter_pages != nullptr;
  for (int64_t b = 0; b < sizes.batch; ++b) {
    sequences_.push_back(std::make_shared<cpu::CacheSequence>(
        cpu::CacheSequence::Sizes{sizes.heads, sizes.width, sizes.value_width}, with_codes));
  }
}

void KeyValueCache::append(const at::Tensor& key, const at::Tensor& value,
                           const std::optional<at::Tensor>& counts) {
  check_new_rows(sizes_, key, value, counts);
  const at::Tensor keys = as_float_rows(key);
  const at::Tensor values = as_float_rows(value);
  const int64_t tokens = key.size(2);
  std::vector<int64_t> count(static_cast<size_t>(sizes_.batch), tokens);
  for (int64_t b = 0; b < sizes_.batch; ++b) {
    if (counts) count[static_cast<size_t>(b)] = (*counts)[b].item<int64_t>();
    own_sequence(b, count[static_cast<size_t>(b)]);
  }
  constexpr int64_t kTokensPerThread = 256;
  const int64_t grain = std::max<int64_t>(1, kTokensPerThread / std::max<int64_t>(1, tokens));
  at::parallel_for(0, sizes_.batch * sizes_.heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / sizes_.heads;
      const int64_t g = unit % sizes_.heads;
      sequences_[static_cast<size_t>(b)]->append_head(
          g, {keys.const_data_ptr<float>() + b * keys.stride(0) + g * keys.stride(1), keys.stride(2),
              values.const_data_ptr<float>() + b * values.stride(0) + g * values.stride(1), values.stride(2),
              count[static_cast<size_t>(b)]});
    }
  });
  for (int64_t b = 0; b < sizes_.batch; ++b) {
    sequences_[static_cast<size_t>(b)]->grow(count[static_cast<size_t>(b)]);
  }
}

void KeyValueCache::append_token(const float* key, const float* value, int64_t step) {
  for (int64_t b = 0; b < sizes_.batch; ++b) {
    cpu::CacheSequence& sequence = own_sequence(b, 1);
    for (int64_t g = 0; g < sizes_.heads; ++g) {
      sequence.append_head(
          g, {key + b * step + g * sizes_.width, 0, value + b * step + g * sizes_.value_width, 0, 1});
    }
    sequence.grow(1);
  }
}

cpu::CacheSequence& KeyValueCache::own_sequence(int64_t index, int64_t more) {
  auto& sequence = sequences_[static_cast<size_t>(index)];
  if (sequence.use_count() > 1) sequence = sequence->copy();
  sequence->reserve(sequence->length() + more);
  return *sequence;
}

void KeyValueCache::keep(const at::Tensor& rows) {
  TORCH_CHECK(rows.scalar_type() == at::kLong && rows.dim() == 1,
              "KeyValueCache: expected the rows to keep in int64 with one dimension, got ", rows.sizes(),
              " in ", rows.scalar_type());
  std::vector<std::shared_ptr<cpu::CacheSequence>> kept;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const int64_t row = rows[i].item<int64_t>();
    TORCH_CHECK(row >= 0 && row < sizes_.batch, "KeyValueCache: expected rows below ", sizes_.batch, ", got ",
                row);
    kept.push_back(sequences_[static_cast<size_t>(row)]);
  }
  sequences_ = std::move(kept);
  sizes_.batch = rows.size(0);
}

int64_t KeyValueCache::length(int64_t sequence) const { return this->sequence(sequence).length(); }

at::Tensor KeyValueCache::lengths() const {
  const at::Tensor result = at::empty({sizes_.batch}, at::kLong);
  for (int64_t b = 0; b < sizes_.batch; ++b) result.mutable_data_ptr<int64_t>()[b] = length(b);
  return result;
}

int64_t KeyValueCache::bytes() const {
  int64_t total = 0;
  for (const auto& sequence : sequences_) total += sequence->bytes();
  return total;
}

at::Tensor KeyValueCache::keys(int64_t sequence) const {
  return copy_rows(*this, sequence, sizes_.width, &cpu::CachedHead::keys);
}

at::Tensor KeyValueCache::values(int64_t sequence) const {
  return copy_rows(*this, sequence, sizes_.value_width, &cpu::CachedHead::values);
}

}  // namespace giantrabbit::ops
