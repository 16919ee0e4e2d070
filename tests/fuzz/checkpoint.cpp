// In: a checkpoint, or its header alone, for the smallest run. Accepted: counters are possible ones, and a
// checkpoint written from what was loaded restores the same counters, weights and optimiser.
#include "train/checkpoint.h"

#include "data/atomic_file.h"
#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tiny_run.h"

namespace giantrabbit::fuzz {
namespace {

// Pools are drawn anew for every position, so examples cost nothing.
class OneExample : public data::Dataset {
 public:
  data::Example example(uint64_t) const override { return {{}, {7, 8, 5}, {3, 8, 2}}; }
  const data::Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  data::Vocabulary vocabulary_;
};

struct Trainee {
  model::GiantRabbit network = tiny_network();
  train::Optimizer optimizer{network, tiny_config().train};
  OneExample source;
  data::Batcher batcher{source, 1024, 1};
};

std::string state_of(const Trainee& trainee) {
  model::NamedTensors state = model::state_of(*trainee.network);
  trainee.optimizer.save(state);
  return model::to_safetensors(state, {});
}

std::string saved(const Trainee& trainee, const train::Counters& counters) {
  const std::filesystem::path folder = scratch_folder() / "checkpoints";
  std::filesystem::remove_all(folder);
  train::save_checkpoint(folder, trainee.network, trainee.optimizer, counters);
  return data::read_file(train::newest_checkpoint(folder).value());
}

}  // namespace

void checkpoint(std::string_view bytes) {
  static Trainee trainee;
  static Trainee other;
  static const std::string own_data = data_of(saved(trainee, {}));
  const auto load = [](Trainee& into, std::string_view file) {
    return train::load_checkpoint(scratch_file("read.safetensors", file), into.network, into.optimizer,
                                  into.batcher);
  };
  train::Counters counters;
  if (!accepts([&] { counters = load(trainee, with_header(bytes, own_data)); })) return;
  require(counters.step >= 0 && counters.tokens >= 0 && counters.validated_step >= 0 &&
              counters.interval_steps >= 0 && counters.interval_tokens >= 0,
          "nothing was counted below 0");
  require(counters.seconds >= 0 && counters.processor_seconds >= 0 && counters.next_validation >= 0 &&
              counters.interval_start >= 0 && std::isfinite(counters.interval_loss),
          "times are not negative, sums are finite");
  require(trainee.batcher.next().target_tokens > 0, "training can go on");
  const std::string written = saved(trainee, counters);
  const train::Counters same = load(other, written);
  require(saved(other, same) == written && state_of(other) == state_of(trainee), "a checkpoint comes back");
}

}  // namespace giantrabbit::fuzz
