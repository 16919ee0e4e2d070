// The input of a shared layer is what LibTorch's linear() is given together with the layer's projection;
// LibTorch shows the arguments of its operators to observers.
#include "eval/shared_heads.h"

#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include <ATen/record_function.h>

#include "data/batch.h"

namespace giantrabbit::eval {
namespace {

// While it lives: the first argument of the last linear() with each of the weights.
class LinearInputs {
 public:
  explicit LinearInputs(const std::vector<SharedLayer>& layers) {
    watched.clear();
    for (const SharedLayer& layer : layers) watched.push_back({layer.attention->query_value, {}});
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(observe).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~LinearInputs() {
    at::removeCallback(handle_);
    watched.clear();
  }
  LinearInputs(const LinearInputs&) = delete;
  LinearInputs& operator=(const LinearInputs&) = delete;

  static const torch::Tensor& input(size_t layer) { return watched[layer].input; }

 private:
  struct Watched {
    torch::Tensor weight;
    torch::Tensor input;
  };
  static std::unique_ptr<at::ObserverContext> observe(const at::RecordFunction& function) {
    if (std::string_view(function.name()) != "aten::linear") return nullptr;
    const auto arguments = function.inputs();
    for (Watched& one : watched) {
      if (arguments[1].toTensor().is_same(one.weight)) one.input = arguments[0].toTensor();
    }
    return nullptr;
  }
  static thread_local std::vector<Watched> watched;
  at::CallbackHandle handle_;
};

thread_local std::vector<LinearInputs::Watched> LinearInputs::watched;

}  // namespace

std::vector<SharedLayer> shared_layers(const model::GiantRabbit& network) {
  std::vector<SharedLayer> layers;
  for (const auto& item : network->named_modules()) {
    if (auto found = std::dynamic_pointer_cast<model::SharedAttentionImpl>(item.value())) {
      layers.push_back({item.key(), model::SharedAttention(std::move(found))});
    }
  }
  return layers;
}

std::vector<model::SharedAttentionImpl::Heads> shared_heads(model::GiantRabbit& network,
                                                            const data::Vocabulary& vocabulary,
                                                            const data::Words& prompt,
                                                            const data::Words& output) {
  const torch::NoGradGuard no_grad;
  data::Example example;
  example.prompt = vocabulary.encode(prompt);
  example.target = vocabulary.encode(output);
  const data::Batch batch = data::make_batch(std::span(&example, 1));
  const std::vector<SharedLayer> layers = shared_layers(network);
  const LinearInputs inputs(layers);
  network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  std::vector<model::SharedAttentionImpl::Heads> heads;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    if (!LinearInputs::input(layer).defined()) {
      throw std::logic_error(fmt::format("{}: the network did not project its input", layers[layer].name));
    }
    heads.push_back(layers[layer].attention->project(LinearInputs::input(layer)));
  }
  return heads;
}

}  // namespace giantrabbit::eval
