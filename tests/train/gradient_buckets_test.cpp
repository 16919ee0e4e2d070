// Sums of gradients over two processes: those of micro-batches that
// processes share are those of the joined batch, and the same bits as in one process.
#include "train/gradient_buckets.h"

#include <span>

#include <gtest/gtest.h>

#include "data/batch.h"
#include "data/example_source.h"
#include "data/vocabulary.h"
#include "model/loss.h"
#include "tests/support/tensor_matchers.h"
#include "tests/train/processes.h"
#include "tests/train/tiny_run.h"

namespace giantrabbit::train {
namespace {

using test_support::tensors_equal;

struct Model {
  Model() {
    torch::manual_seed(3);
    network = model::GiantRabbit(config.model, eval::token_traits(source.vocabulary()));
  }
  torch::Tensor loss(const data::Batch& batch) {
    return model::sequence_loss(config.model,
                                network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input}),
                                batch.target, data::Vocabulary::pad);
  }
  std::vector<torch::Tensor> gradients() {
    std::vector<torch::Tensor> result;
    for (const torch::Tensor& parameter : network->parameters()) result.push_back(parameter.grad().clone());
    return result;
  }
  RunConfig config = tiny::run_config();
  data::ExampleSource source{"row-reduction", data::ChainFormat::prod, data::Split::train, 1};
  model::GiantRabbit network{nullptr};
};

// Four batches of 2, 3, 4 and 5 examples; joined[0] holds all of their examples.
std::vector<data::Batch> four_batches(const data::ExampleSource& source, std::vector<data::Batch>& joined) {
  std::vector<data::Example> all;
  std::vector<data::Batch> batches;
  for (size_t size = 2; size <= 5; ++size) {
    for (size_t i = 0; i < size; ++i) all.push_back(source.example(all.size()));
    batches.push_back(data::make_batch(std::span(all).last(size)));
  }
  joined = {data::make_batch(all)};
  return batches;
}

// The gradients after an update whose micro-batches begin .. end are this process's.
std::vector<torch::Tensor> update(Model& model, const ProcessGroup& group, std::span<const data::Batch> own,
                                  int64_t all_tokens, int64_t bucket_bytes) {
  GradientBuckets buckets(model.network->parameters(), group, bucket_bytes);
  for (const data::Batch& batch : own) {
    if (&batch == &own.back()) buckets.expect_last_backward();
    const torch::Tensor loss = model.loss(batch);
    const double weight = static_cast<double>(batch.target_tokens) / static_cast<double>(all_tokens);
    loss.backward(torch::full_like(loss, weight));
  }
  buckets.finish();
  return model.gradients();
}

TEST(GradientBucketsTest, SharedMicroBatchesAreOneJoinedBatch) {
  Model whole, alone;
  std::vector<data::Batch> joined;
  const std::vector<data::Batch> batches = four_batches(whole.source, joined);
  const int64_t tokens = joined[0].target_tokens;
  EXPECT_NE(batches[0].target_tokens * 4, tokens) << "equal counts could not tell means from weighted means";
  const auto expected = update(whole, ProcessGroup(), joined, tokens, 1 << 20);
  const auto one = update(alone, ProcessGroup(), batches, tokens, 1 << 20);
  for (const int64_t bucket_bytes : {int64_t{1}, int64_t{4096}, int64_t{1} << 20}) {
    SCOPED_TRACE(bucket_bytes);
    std::vector<Model> models(2);
    std::vector<std::vector<torch::Tensor>> found(2);
    as_processes(2, [&](const ProcessGroup& group) {
      const auto rank = static_cast<size_t>(group.rank());
      found[rank] =
          update(models[rank], group, std::span(batches).subspan(2 * rank, 2), tokens, bucket_bytes);
    });
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(tensors_equal(found[0][i], found[1][i])) << i;
      // Sums of a few hundred tokens in another order: float32 rounding of the largest entry's size.
      const double scale = expected[i].abs().max().item<double>();
      EXPECT_LT((found[0][i] - expected[i]).abs().max().item<double>(), 1e-5 * scale + 1e-9) << i;
      EXPECT_LT((one[i] - expected[i]).abs().max().item<double>(), 1e-5 * scale + 1e-9) << i;
    }
  }
}

TEST(GradientBucketsTest, TwoProcessesOfOneMicroBatchEachHaveTheBitsOfOneWithTwo) {
  Model alone;
  std::vector<data::Batch> joined;
  const std::vector<data::Batch> batches = four_batches(alone.source, joined);
  const auto pair = std::span(batches).first(2);
  const int64_t tokens = pair[0].target_tokens + pair[1].target_tokens;
  const auto expected = update(alone, ProcessGroup(), pair, tokens, 1 << 20);
  std::vector<Model> models(2);
  as_processes(2, [&](const ProcessGroup& group) {
    const auto rank = static_cast<size_t>(group.rank());
    const auto found = update(models[rank], group, pair.subspan(rank, 1), tokens, 1024);
    // Autograd adds the second gradient to the first in one addition, and so does the sum of two processes.
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(tensors_equal(found[i], expected[i])) << i;
  });
}

TEST(GradientBucketsTest, AParameterThatBackwardDoesNotReachHasGradientZero) {
  for (const int size : {1, 2}) {
    SCOPED_TRACE(size);
    as_processes(size, [](const ProcessGroup& group) {
      const auto rank = static_cast<double>(group.rank());
      std::vector<torch::Tensor> parameters;
      for (int i = 0; i < 3; ++i) parameters.push_back(torch::ones({2}).requires_grad_());
      GradientBuckets buckets(parameters, group, 1);
      for (int step = 1; step <= 2; ++step) {
        for (torch::Tensor& parameter : parameters) parameter.mutable_grad().reset();
        // The first process reaches the first parameter in an earlier micro-batch only, the others never.
        if (group.is_first()) (parameters[0] * step).sum().backward();
        buckets.expect_last_backward();
        (parameters[2] * (rank + step)).sum().backward();
        buckets.finish();
        const double sum = group.size() * (step + (group.size() - 1) / 2.0);
        EXPECT_TRUE(tensors_equal(parameters[0].grad(), torch::full({2}, static_cast<double>(step))));
        EXPECT_TRUE(tensors_equal(parameters[1].grad(), torch::zeros({2})));
        EXPECT_TRUE(tensors_equal(parameters[2].grad(), torch::full({2}, sum)));
      }
    });
  }
}

// The other process says by hand in which order the first one must sum: first the bucket of `late`, then what
// the hook in the middle of backward sums, then the bucket of `early`.
TEST(GradientBucketsTest, BucketsLeaveWhileBackwardGoesOn) {
  as_processes(2, [](const ProcessGroup& group) {
    if (!group.is_first()) {
      torch::Tensor late = torch::full({4}, 10.0), early = torch::full({4}, 20.0);
      const auto wait_for_late = group.start_sum(late);
      EXPECT_EQ(group.sum({1, 2}), (std::vector<double>{4, 6}));
      const auto wait_for_early = group.start_sum(early);
      wait_for_late();
      wait_for_early();
      return;
    }
    const torch::Tensor early = torch::ones({4}).requires_grad_(), late = torch::ones({4}).requires_grad_();
    GradientBuckets buckets({early, late}, group, 1);
    const torch::Tensor middle = early * 2;
    middle.register_hook([&](const torch::Tensor& /*gradient*/) {
      EXPECT_EQ(group.sum({3, 4}), (std::vector<double>{4, 6}));
    });
    buckets.expect_last_backward();
    (middle * late).sum().backward();
    buckets.finish();
    EXPECT_TRUE(tensors_equal(late.grad(), torch::full({4}, 12.0)));
    EXPECT_TRUE(tensors_equal(early.grad(), torch::full({4}, 22.0)));
  });
}

}  // namespace
}  // namespace giantrabbit::train
