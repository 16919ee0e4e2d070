// Row operators: tensors of 2^27 numbers.
#include "tests/cuda_roofline/case_buffers.h"
#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {
namespace {

template <class Stored>
std::function<void()> prepare_rows(Normalizer normalizer, bool gradient, int64_t length, int64_t rows) {
  const int64_t count = length * rows;
  const auto scores = random_buffer<Stored>(count, kSpread);
  const auto weights = empty_buffer<Stored>(count);
  const std::function<void()> forward = [=] {
    check(ops::cuda::launch_normalize_rows(normalizer, kDtype<Stored>, {rows, length}, scores->get(),
                                           weights->get(), nullptr));
  };
  if (!gradient) return forward;
  forward();
  const auto result = empty_buffer<Stored>(count);
  return [=] {
    check(ops::cuda::launch_normalize_rows_backward(normalizer, kDtype<Stored>, {rows, length}, scores->get(),
                                                    weights->get(), result->get(), nullptr));
  };
}

int64_t rows_of_a_tensor(int64_t length) { return (int64_t{1} << 27) / length; }

template <class Stored>
void add_cases_of(const std::string& dtype, std::vector<Case>& cases) {
  const auto add = [&](const char* name, Normalizer normalizer, bool gradient) {
    cases.push_back({name + dtype,
                     Kind::rows,
                     sizeof(Stored),
                     1,
                     {2048, 4096, 6144, 8192},
                     8,
                     rows_of_a_tensor,
                     [=](int64_t length, int64_t units) {
                       return prepare_rows<Stored>(normalizer, gradient, length, units);
                     }});
  };
  add("sparsemax rows, ", Normalizer::sparsemax, false);
  add("entmax15 rows, ", Normalizer::entmax15, false);
  add("sparsemax rows backward, ", Normalizer::sparsemax, true);
  add("entmax15 rows backward, ", Normalizer::entmax15, true);
}

}  // namespace

void add_row_cases(std::vector<Case>& cases) {
  add_cases_of<float>("float32", cases);
  add_cases_of<__nv_bfloat16>("bfloat16", cases);
}

}  // namespace giantrabbit::roofline
