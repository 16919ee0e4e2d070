// lsh_buckets on the CPU: vectors and rotations in, the number of the largest of [xR, -xR] out. Products are
// those of matrix_product.h, whose bits do not depend on threads, so buckets do not either.
#include <ATen/Functions.h>

#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/lsh_tile.h"

namespace giantrabbit::ops {
namespace {

constexpr int64_t kVectors = 64;  // rotated at a time

template <class A>
int64_t bucket_of(const A* rotated, at::IntArrayRef bucket_counts) {
  int64_t bucket = 0;
  int64_t before = 1;
  for (const int64_t count : bucket_counts) {
    bucket += before * cpu::lsh_functions_of<A>().bucket(rotated, count / 2);
    before *= count;
    rotated += count / 2;
  }
  return bucket;
}

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
      ScratchRotation scratch(*this, head);
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kVectors;
        const int64_t count = std::min(kVectors, length_ - first);
        scratch.rotate(first, count);
        for (int64_t i = 0; i < count; ++i) {
          const bool padding = head.valid != nullptr && !head.valid[first + i];
          for (int64_t round = 0; round < rounds_; ++round) {
            const A* rotated = scratch.rotated.row(i) + round * columns_;
            head.buckets[round * length_ + first + i] =
                round * in_round + (padding ? buckets : bucket_of(rotated, bucket_counts_));
          }
        }
      }
    });
  }

 private:
  struct ScratchRotation {
    ScratchRotation(const Hashing& of, const HashedHead<A>& head)
        : rotations(of.width_, of.rounds_ * of.columns_),
          rotated(kVectors, of.rounds_ * of.columns_),
          hashing(of),
          vectors(head.vectors) {
      const int64_t columns = of.rounds_ * of.columns_;
      cpu::pack_rows<A, A>({head.rotations, columns, 1, of.width_, columns}, A(1), rotations);
    }
    // By all rounds at once: one of them alone is a narrow matrix.
    void rotate(int64_t first, int64_t count) {
      cpu::matrix_product<A>({count, hashing.rounds_ * hashing.columns_, hashing.width_},
                             {vectors + first * hashing.width_, hashing.width_, 1}, rotations.right(),
                             rotated.result(), false);
    }
    cpu::ScratchMatrix<A> rotations;
    cpu::ScratchMatrix<A> rotated;
    const Hashing& hashing;
    const A* vectors;
  };

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
