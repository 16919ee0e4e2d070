// Causal attention and its gradient, eight heads. The gradient starts from what the forward pass keeps and
// from the support by keys; sorting it, which reads a few bytes per entry, is not in the figure.
#include <cmath>
#include <numeric>

#include "tests/cuda_roofline/case_buffers.h"
#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {
namespace {

using ops::cuda::AttentionProblem;

template <class Stored>
struct Attention {
  Attention(Normalizer of, int64_t length, int64_t heads)
      : normalizer(of),
        count(heads * length * kHeadWidth),
        rows(heads * length),
        query(random_buffer<Stored>(count, kSpread)),
        key(random_buffer<Stored>(count, 1.0F)),
        value(random_buffer<Stored>(count, 1.0F)),
        result(empty_buffer<Stored>(count)) {
    problem.batch = 1;
    problem.heads = problem.key_heads = heads;
    problem.queries = problem.keys = length;
    problem.width = problem.value_width = kHeadWidth;
    problem.query = problem.key = problem.value = problem.result = {count, length * kHeadWidth, kHeadWidth};
    problem.scale = 1.0 / std::sqrt(static_cast<double>(kHeadWidth));
    problem.causal = true;
    workspace = empty_buffer<unsigned char>(
        ops::cuda::attention_workspace_bytes(normalizer, kDtype<Stored>, problem));
  }

  void attend(const ops::cuda::KeptRows& kept = {}) const {
    check(ops::cuda::launch_attention(normalizer, kDtype<Stored>, problem, query->get(), key->get(),
                                      value->get(), result->get(), workspace->get(), nullptr, kept));
  }

  Normalizer normalizer;
  int64_t count;
  int64_t rows;
  AttentionProblem problem{};
  std::shared_ptr<DeviceBuffer<Stored>> query, key, value, result;
  std::shared_ptr<DeviceBuffer<unsigned char>> workspace;
};

template <class Count>
std::vector<int64_t> sums(const std::vector<Count>& counts) {
  std::vector<int64_t> all(counts.size() + 1, 0);
  std::partial_sum(counts.begin(), counts.end(), all.begin() + 1, std::plus<int64_t>());
  return all;
}

// Keeps the support of the forward pass, by rows and by keys.
template <class Stored>
class Gradient {
 public:
  explicit Gradient(const Attention<Stored>& attention)
      : attention_(attention),
        states_(static_cast<size_t>(attention.rows) * 2),
        wide_blocks_(static_cast<size_t>(
            attention.problem.heads *
            ((attention.problem.queries + ops::cuda::kQueriesPerBlock - 1) / ops::cuda::kQueriesPerBlock))),
        means_(static_cast<size_t>(attention.rows)),
        result_grad_(random_buffer<Stored>(attention.count, 1.0F)),
        query_grad_(empty_buffer<Stored>(attention.count)),
        key_grad_(empty_buffer<Stored>(attention.count)),
        value_grad_(empty_buffer<Stored>(attention.count)) {
    keep();
    transpose();
  }

  void launch() const {
    const AttentionProblem& problem = attention_.problem;
    check(ops::cuda::launch_attention_backward_rows(
        attention_.normalizer, kDtype<Stored>, problem, operands(), support(),
        {entry_grads_->get(), means_.get(), query_grad_->get(), problem.query, nullptr}, nullptr));
    check(ops::cuda::launch_attention_backward_keys(
        attention_.normalizer, kDtype<Stored>, problem, operands(), support(), transposed(), means_.get(),
        {key_grad_->get(), problem.key, value_grad_->get(), problem.value}, nullptr));
  }

 private:
  void keep() {
    constexpr int64_t kCapacity = ops::cuda::kMostKeptKeys;
    const bool entries = attention_.normalizer != Normalizer::softmax;
    const DeviceBuffer<int64_t> counts(static_cast<size_t>(attention_.rows));
    const auto keys = empty_buffer<int32_t>(entries ? attention_.rows * kCapacity : 0);
    const auto weights = empty_buffer<float>(entries ? attention_.rows * kCapacity : 0);
    const ops::cuda::KeptRows kept{states_.get(),
                                   counts.get(),
                                   wide_blocks_.get(),
                                   entries ? keys->get() : nullptr,
                                   entries ? weights->get() : nullptr,
                                   entries ? kCapacity : 0,
                                   false};
    attention_.attend(kept);
    find_wide_heads();
    const std::vector<int64_t> offsets = sums(counts.values());
    row_offsets_ = std::make_shared<DeviceBuffer<int64_t>>(offsets);
    keys_ = empty_buffer<int32_t>(offsets.back());
    weights_ = empty_buffer<float>(offsets.back());
    entry_grads_ = empty_buffer<float>(offsets.back());
    check(ops::cuda::launch_attention_support(attention_.normalizer, kDtype<Stored>, attention_.problem,
                                              attention_.query->get(), attention_.key->get(), kept,
                                              row_offsets_->get(), keys_->get(), weights_->get(), nullptr));
  }

  void find_wide_heads() {
    const std::vector<int32_t> blocks = wide_blocks_.values();
    const auto heads = static_cast<size_t>(attention_.problem.heads);
    std::vector<int32_t> any(heads, 0);
    for (size_t i = 0; i < blocks.size(); ++i) any[i / (blocks.size() / heads)] |= blocks[i];
    wide_heads_ = std::make_shared<DeviceBuffer<int32_t>>(any);
  }

  void transpose() {
    const AttentionProblem& problem = attention_.problem;
    const auto counts =
        filled_buffer<int32_t>(problem.key_heads * problem.keys * ops::cuda::kTransposeParts, 0);
    check(ops::cuda::launch_count_support_columns(problem, support(), counts->get(), nullptr));
    std::vector<int64_t> begins = sums(counts->values());
    begins.pop_back();
    cells_ = std::make_shared<DeviceBuffer<int64_t>>(begins);
    const auto entries = static_cast<int64_t>(keys_->size());
    by_key_rows_ = empty_buffer<int32_t>(entries);
    by_key_weights_ = empty_buffer<float>(entries);
    by_key_grads_ = empty_buffer<float>(entries);
    check(ops::cuda::launch_transpose_support(kDtype<Stored>, problem, support(), entry_grads_->get(),
                                              transposed(), nullptr));
  }

  ops::cuda::AttentionOperands operands() const {
    return {attention_.query->get(), attention_.key->get(), attention_.value->get(), result_grad_->get()};
  }
  ops::cuda::AttentionSupportRows support() const {
    return {states_.get(),       wide_blocks_.get(), wide_heads_->get(),
            row_offsets_->get(), keys_->get(),       weights_->get()};
  }
  ops::cuda::TransposedSupport transposed() const {
    return {cells_->get(), by_key_rows_->get(), by_key_weights_->get(), by_key_grads_->get()};
  }

  Attention<Stored> attention_;
  DeviceBuffer<double> states_;
  DeviceBuffer<int32_t> wide_blocks_;
  DeviceBuffer<double> means_;
  std::shared_ptr<DeviceBuffer<Stored>> result_grad_, query_grad_, key_grad_, value_grad_;
  std::shared_ptr<DeviceBuffer<int64_t>> row_offsets_, cells_;
  std::shared_ptr<DeviceBuffer<int32_t>> wide_heads_, keys_, by_key_rows_;
  std::shared_ptr<DeviceBuffer<float>> weights_, entry_grads_, by_key_weights_, by_key_grads_;
};

int64_t eight_heads(int64_t) { return 8; }

template <class Stored>
void add_cases_of(const std::string& dtype, std::vector<Case>& cases) {
  const auto add = [&](const char* name, Kind kind, Normalizer normalizer) {
    const auto prepare = [=](int64_t length, int64_t heads) -> std::function<void()> {
      const Attention<Stored> attention(normalizer, length, heads);
      if (kind == Kind::attention) return [=] { attention.attend(); };
      const auto gradient = std::make_shared<Gradient<Stored>>(attention);
      return [=] { gradient->launch(); };
    };
    // The gradient of sparse weights costs what their support costs, whose rows hardly grow with the length.
    const bool grows_with_support = kind == Kind::attention_gradient && normalizer != Normalizer::softmax;
    const size_t degree = grows_with_support ? 1 : 2;
    // Whole tiles of the tensor cores' queries and keys.
    const bool by_codes = kind == Kind::attention && normalizer != Normalizer::softmax;
    const std::vector<int64_t> counted = grows_with_support ? std::vector<int64_t>{384, 512, 640, 768}
                                         : by_codes         ? std::vector<int64_t>{128, 256, 384, 512, 640}
                                                            : std::vector<int64_t>{64, 128, 192, 256, 320};
    cases.push_back({name + dtype, kind, sizeof(Stored), degree, counted, 1, eight_heads, prepare});
  };
  add("softmax attention, ", Kind::attention, Normalizer::softmax);
  add("sparsemax attention, ", Kind::attention, Normalizer::sparsemax);
  add("entmax15 attention, ", Kind::attention, Normalizer::entmax15);
  add("softmax attention backward, ", Kind::attention_gradient, Normalizer::softmax);
  add("sparsemax attention backward, ", Kind::attention_gradient, Normalizer::sparsemax);
  add("entmax15 attention backward, ", Kind::attention_gradient, Normalizer::entmax15);
}

}  // namespace

void add_attention_cases(std::vector<Case>& cases) {
  add_cases_of<float>("float32", cases);
  add_cases_of<__nv_bfloat16>("bfloat16", cases);
}

}  // namespace giantrabbit::roofline
