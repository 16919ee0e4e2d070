// Walks the model's tree of modules and builds a script module for each, children first: the same tensors
// under the same names, then the methods that its text (sources.h) defines. See script_module.h.
#include "model/script/script_module.h"

#include <sstream>

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/csrc/jit/serialization/import.h>

#include "model/script/script_constants.h"
#include "model/script/source_of.h"
#include "model/script/sources.h"

namespace giantrabbit::model {
namespace {

namespace jit = torch::jit;
using jit::SourceRange;
using Meaning = std::shared_ptr<jit::SugaredValue>;

constexpr const char* package = "__torch__.giantrabbit";

Meaning constant(const c10::IValue& value, jit::GraphFunction& method, const SourceRange& place) {
  return std::make_shared<jit::SimpleValue>(method.graph()->insertConstant(value, place));
}

// `config` in a text.
class ConfigValue : public jit::SugaredValue {
 public:
  explicit ConfigValue(const script::Constants& constants) : constants_(constants) {}
  std::string kind() const override { return "configuration"; }
  Meaning attr(const SourceRange& place, jit::GraphFunction& method, const std::string& name) override {
    const auto found = constants_.find(name);
    TORCH_CHECK(found != constants_.end(), "script: config has no ", name);
    return constant(found->second, method, place);
  }

 private:
  const script::Constants& constants_;
};

// `ops` in a text: ops.giantrabbit.NAME.
class OperatorsValue : public jit::SugaredValue {
 public:
  std::string kind() const override { return "operators"; }
  Meaning attr(const SourceRange&, jit::GraphFunction&, const std::string& name) override {
    return std::make_shared<jit::BuiltinModule>(name);
  }
};

// What the names in a text stand for.
class Names : public jit::Resolver {
 public:
  // unit: where the functions are; it outlives the definitions.
  Names(const jit::CompilationUnit& unit, script::Constants constants)
      : unit_(unit), constants_(std::move(constants)) {}

  Meaning resolveValue(const std::string& name, jit::GraphFunction& method,
                       const SourceRange& place) override {
    if (name == "torch") return std::make_shared<jit::BuiltinModule>("aten");
    if (name == "ops") return std::make_shared<OperatorsValue>();
    if (name == "config") return std::make_shared<ConfigValue>(constants_);
    if (const auto found = free_.find(name); found != free_.end()) {
      return constant(found->second, method, place);
    }
    jit::Function* function = unit_.find_function(c10::QualifiedName(c10::QualifiedName(package), name));
    return function == nullptr ? nullptr : std::make_shared<jit::FunctionValue>(function);
  }

 private:
  const jit::CompilationUnit& unit_;
  const script::Constants constants_;
  const script::Constants free_ = script::free_constants();
};

// Rows of the list that random keys are read from; see shared_attention.cpp of this folder.
torch::Tensor random_table(const SharedAttentionImpl& shared, const ModelConfig& config) {
  constexpr int64_t most_entries = int64_t{1} << 24;
  const int64_t keys = config.lsh_rounds * config.lsh_chunk;
  TORCH_CHECK(config.max_positions <= most_entries / keys,
              "export: model.shared_attention random needs a list of model.max_positions times "
              "model.lsh_rounds times model.lsh_chunk keys, at most ",
              most_entries, "; got ", config.max_positions, " times ", keys);
  torch::Tensor table = torch::zeros({config.max_positions, keys}, torch::kInt32);
  for (int64_t earlier = 1; earlier <= config.max_positions; ++earlier) {
    const torch::Tensor chosen = shared.random_keys(earlier);
    table[earlier - 1].narrow(0, 0, chosen.size(0)).copy_(chosen);
  }
  return table;
}

class Builder {
 public:
  Builder(const GiantRabbit& network, const ScriptOptions& options)
      : config_(network->config()),
        options_(options),
        constants_(script::config_constants(config_)),
        unit_(std::make_shared<jit::CompilationUnit>()) {
    const std::string operators = options.portable ? script::plain_operators : script::custom_operators;
    unit_->define(c10::QualifiedName(package), operators + script::functions,
                  std::make_shared<Names>(*unit_, constants_), nullptr);
  }

  // type_name: one word, as files do not find dotted ones again.
  jit::Module build(const torch::nn::Module& native, const std::string& type_name) const {
    jit::Module module(c10::QualifiedName(c10::QualifiedName(package), type_name), unit_);
    module.register_attribute("training", c10::BoolType::get(), false);
    for (const auto& item : native.named_parameters(/*recurse=*/false)) {
      module.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
    }
    for (const auto& item : native.named_buffers(/*recurse=*/false)) {
      module.register_buffer(item.key(), item.value());
    }
    for (const auto& item : native.named_children()) {
      module.register_module(item.key(), build(*item.value(), type_name + "_" + item.key()));
    }
    script::Constants constants = constants_;
    add_attributes(module, native, constants);
    const std::string source = script::source_of(native, config_);
    if (!source.empty()) module.define(source, std::make_shared<Names>(*unit_, std::move(constants)));
    return module;
  }

 private:
  // What a text reads beside tensors and configuration.
  void add_attributes(jit::Module& module, const torch::nn::Module& native,
                      script::Constants& constants) const {
    if (const auto* layer = native.as<DecoderLayer>()) {
      constants["shared_layer"] = !layer->shared_attention.is_empty();
    }
    if (const auto* shared = native.as<SharedAttention>()) {
      c10::List<at::Tensor> tables;
      if (config_.shared_attention == "random") tables.push_back(random_table(*shared, config_));
      if (config_.shared_attention == "lsh") tables.push_back(shared->hashing().rotations);
      module.register_attribute("tables", c10::ListType::ofTensors(), tables);
    }
    if (native.as<GiantRabbit>() == nullptr) return;
    c10::List<std::string> words;
    for (const std::string& word : options_.words) words.push_back(word);
    module.register_attribute("words", c10::ListType::ofStrings(), words);
    for (const auto& [name, id] :
         {std::pair("pad", options_.pad), {"bos", options_.bos}, {"eos", options_.eos}}) {
      module.register_attribute(name, c10::IntType::get(), id);
    }
  }

  const ModelConfig config_;
  const ScriptOptions& options_;
  const script::Constants constants_;
  std::shared_ptr<jit::CompilationUnit> unit_;
};

}  // namespace

jit::Module make_script_module(const GiantRabbit& network, const ScriptOptions& options) {
  TORCH_CHECK(!network->is_training(), "export: expected a model in evaluation mode");
  return Builder(network, options).build(*network, "model");
}

std::string save_script(const jit::Module& module, const ScriptFiles& files) {
  std::ostringstream bytes;
  module.save(bytes, files);
  return std::move(bytes).str();
}

jit::Module load_script(const std::string& bytes, ScriptFiles* files) {
  std::istringstream stream(bytes);
  return files == nullptr ? jit::load(stream) : jit::load(stream, std::nullopt, *files);
}

}  // namespace giantrabbit::model
