// See trained_heads.h. While it lives, Recorder stands in front of the operator; the decoder's self-attention
// is the model's only causal one.
#include "tests/bench/trained_heads.h"

#include <cmath>

#include <fmt/format.h>

#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include "data/batch.h"
#include "data/example_source.h"
#include "eval/run.h"
#include "ops/attention_call.h"

namespace giantrabbit::bench {
namespace {

constexpr uint64_t kChains = 64;

class Recorder {
 public:
  Recorder()
      : library_(torch::Library::IMPL, "giantrabbit", c10::DispatchKey::AutogradCPU, __FILE__, __LINE__) {
    recorded().clear();
    library_.impl("sparse_mask_attention", TORCH_FN(ops::ForwardArguments::kernel<record>));
  }
  static std::vector<TrainedHeads>& recorded() {
    static std::vector<TrainedHeads> heads;
    return heads;
  }

 private:
  static at::Tensor record(const ops::AttentionCall& call) {
    if (call.mask.causal) {
      const double factor = call.score_scale() * std::sqrt(static_cast<double>(call.width()));
      recorded().push_back({fmt::format("decoder.{}.self", recorded().size()),
                            call.normalizer,
                            {call.query * factor, call.key, call.value}});
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    return ops::call_attention(call);
  }
  torch::Library library_;
};

data::Example longest_chain(const eval::Run& run) {
  const data::ExampleSource source(run.task.task, run.format(), data::Split::test,
                                   static_cast<uint64_t>(run.task.seed));
  data::Example longest;
  for (uint64_t i = 0; i < kChains; ++i) {
    data::Example example = source.example(i);
    if (example.target.size() > longest.target.size()) longest = std::move(example);
  }
  return longest;
}

}  // namespace

std::vector<TrainedHeads> trained_heads(const std::string& directory) {
  eval::Run run = eval::load_run(directory);
  const data::Example example = longest_chain(run);
  const data::Batch batch = data::make_batch(std::span(&example, 1));
  const torch::NoGradGuard no_grad;
  const Recorder recorder;
  run.network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  return std::move(Recorder::recorded());
}

}  // namespace giantrabbit::bench
