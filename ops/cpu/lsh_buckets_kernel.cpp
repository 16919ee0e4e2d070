// lsh_buckets on the CPU: vectors and rotations in, the number of the largest of [xR, -xR] out. Products are
// those of matrix_product.h, whose bits do not depend on threads, so buckets do not either.
#include <array>

#include <ATen/Functions.h>

#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/lsh_tile.h"

namespace giantrabbit::ops {
namespace {

constexpr int64_t kVectors = 64;  // rotated at a time

// One head: vectors [length, width], rotations [width, rounds * columns], buckets [rounds, length].
template <class A>
struct HashedHead {
  const A* vectors;
  const A* rotations;
  const bool* valid;
  int64_t* buckets;
};

template <class A>
class Hashing {
 public:
  Hashing(const at::Tensor& vectors, const at::Tensor& rotations, at::IntArrayRef bucket_counts)
      : length_(vectors.size(2)),
        width_(vectors.size(3)),
        rounds_(rotations.size(2)),
        columns_(rotations.size(3)),
        bucket_counts_(bucket_counts) {}

  void run(const HashedHead<A>& head) const {
    int64_t buckets = 1;
    for (const int64_t count : bucket_counts_) buckets *= count;
    const int64_t in_round = buckets + (head.valid != nullptr ? 1 : 0);
    const int64_t blocks = (length_ + kVectors - 1) / kVectors;
    at::parallel_for(0, blocks, 4, [&](int64_t begin, int64_t end) {
      Rotated rotated(*this);
      std::array<int64_t, kVectors> found;
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kVectors;
        const int64_t count = std::min(kVectors, length_ - first);
        rotated.rotate(head, first, count);
        for (int64_t round = 0; round < rounds_; ++round) {
          find(rotated, round, found);
          for (int64_t i = 0; i < count; ++i) {
            const bool padding = head.valid != nullptr && !head.valid[first + i];
            head.buckets[round * length_ + first + i] =
                round * in_round + (padding ? buckets : found[static_cast<size_t>(i)]);
          }
        }
      }
    });
  }

 private:
  // Some vectors as columns and what the rotations of all rounds make of them: a vector's lane is its own.
  struct Rotated {
    explicit Rotated(const Hashing& of)
        : hashing(of), vectors(of.width_, kVectors), numbers(of.rounds_ * of.columns_, kVectors) {}
    void rotate(const HashedHead<A>& head, int64_t first, int64_t count) {
      const int64_t width = hashing.width_;
      const int64_t rows = hashing.rounds_ * hashing.columns_;
      cpu::transpose(count, width, {head.vectors + first * width, width, 1}, A(1), vectors.result());
      cpu::matrix_product<A>({rows, count, width}, {head.rotations, 1, rows}, vectors.right(),
                             numbers.result(), false);
      padded = cpu::padded_columns(count);
    }
    const Hashing& hashing;
    cpu::ScratchMatrix<A> vectors;
    cpu::ScratchMatrix<A> numbers;
    int64_t padded = 0;
  };

  // The buckets of the rotated vectors within a round.
  void find(const Rotated& rotated, int64_t round, std::array<int64_t, kVectors>& found) const {
    found.fill(0);
    int64_t before = 1;
    int64_t row = round * columns_;
    for (const int64_t count : bucket_counts_) {
      cpu::lsh_functions_of<A>().add_buckets(rotated.numbers.row(row), rotated.numbers.stride(), count / 2,
                                             rotated.padded, before, found.data());
      before *= count;
      row += count / 2;
    }
  }

  int64_t length_;
  int64_t width_;
  int64_t rounds_;
  int64_t columns_;
  at::IntArrayRef bucket_counts_;
};

template <class A>
void hash_heads(const at::Tensor& vectors, const at::Tensor& rotations, at::IntArrayRef bucket_counts,
                const std::optional<at::Tensor>& valid, const at::Tensor& buckets) {
  const at::Tensor rows = vectors.to(c10::CppTypeToScalarType<A>::value).contiguous();
  const at::Tensor turns = rotations.to(c10::CppTypeToScalarType<A>::value).contiguous();
  const at::Tensor mask = valid ? valid->contiguous() : at::Tensor();
  const Hashing<A> hashing(rows, turns, bucket_counts);
  const int64_t heads = vectors.size(1);
  const int64_t length = vectors.size(2);
  const int64_t turn_size = turns.numel() / turns.size(0);
  cpu::for_each_head(vectors.size(0) * heads, [&](int64_t unit) {
    const int64_t turn = turns.size(0) == 1 ? 0 : unit % heads;
    hashing.run({rows.const_data_ptr<A>() + unit * length * vectors.size(3),
                 turns.const_data_ptr<A>() + turn * turn_size,
                 valid ? mask.const_data_ptr<bool>() + unit / heads * length : nullptr,
                 buckets.mutable_data_ptr<int64_t>() + unit * rotations.size(2) * length});
  });
}

at::Tensor lsh_buckets_cpu(const at::Tensor& vectors, const at::Tensor& rotations,
                           at::IntArrayRef bucket_counts, const std::optional<at::Tensor>& valid) {
  check_lsh_hashing(vectors, rotations, bucket_counts, valid);
  const at::Tensor buckets = at::empty({vectors.size(0), vectors.size(1), rotations.size(2), vectors.size(2)},
                                       vectors.options().dtype(at::kLong));
  if (buckets.numel() == 0) return buckets;
  if (vectors.scalar_type() == at::kDouble) {
    hash_heads<double>(vectors, rotations, bucket_counts, valid, buckets);
  } else {
    hash_heads<float>(vectors, rotations, bucket_counts, valid, buckets);
  }
  return buckets;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) { library.impl("lsh_buckets", TORCH_FN(lsh_buckets_cpu)); }

}  // namespace giantrabbit::ops
