// See trainer.h.
#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/autocast_mode.h>

#include "model/loss.h"
#include "train/lr_schedule.h"

namespace giantrabbit::train {
namespace {

constexpr int64_t log_steps = 50;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Does not grow while other programs have the processor, unlike now().
double processor_now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// While it lives, LibTorch computes matrix products (and their gradients, later) in bfloat16.
class MixedPrecision {
 public:
  explicit MixedPrecision(bool enabled) : enabled_(enabled) {
    if (!enabled_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;
  ~MixedPrecision() {
    if (!enabled_) return;
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();  // rounded weights, which the update makes stale
  }

 private:
  bool enabled_;
};

}  // namespace

Trainer::Trainer(RunConfig& config, const std::filesystem::path& out, bool resume)
    : config_(config),
      data_(open_training_data(config)),
      directory_(out, config, data_.examples->vocabulary(), resume),
      batcher_(*data_.examples, config.train.batch_tokens, static_cast<uint64_t>(config.task.seed),
               config.model.max_positions),
      progress_(out.filename().empty() ? out.parent_path().filename().string() : out.filename().string()) {
  torch::manual_seed(static_cast<uint64_t>(config.task.seed));
  network_ = model::GiantRabbit(config.model, eval::token_traits(data_.examples->vocabulary()));
  optimizer_.emplace(network_, config.train);
  counters_.next_validation = config.train.validation_interval;
  if (resume) {
    if (const auto file = newest_checkpoint(directory_.checkpoints())) {
      counters_ = load_checkpoint(*file, network_, *optimizer_, batcher_);
    }
    // A raised limit makes the share smaller. Where it is the same this changes nothing.
    counters_.next_validation =
        std::min(counters_.next_validation, share() + config.train.validation_interval);
  }
  log_.emplace(directory_.metrics(), counters_);
  last_checkpoint_ = counters_.seconds;
}

double Trainer::share() const {
  const TrainConfig& limits = config_.train;
  double share = 0;
  if (limits.minutes > 0) share = std::max(share, counters_.seconds / (60 * limits.minutes));
  if (limits.steps > 0)
    share = std::max(share, static_cast<double>(counters_.step) / static_cast<double>(limits.steps));
  if (limits.tokens > 0) {
    share = std::max(share, static_cast<double>(counters_.tokens) / static_cast<double>(limits.tokens));
  }
  return std::min(share, 1.0);
}

void Trainer::tick() {
  const double time = now();
  counters_.seconds += time - clock_;
  clock_ = time;
  const double processor_time = processor_now();
  counters_.processor_seconds += processor_time - processor_clock_;
  processor_clock_ = processor_time;
}

torch::Tensor Trainer::batch_loss(const data::Batch& batch) {
  const MixedPrecision guard(config_.train.precision == "bfloat16");
  const torch::Tensor logits = network_->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  return model::sequence_loss(config_.model, logits, batch.target, data::Vocabulary::pad);
}

void Trainer::require_finite(const char* what, double value) const {
  if (std::isfinite(value)) return;
  const bool kept = newest_checkpoint(directory_.checkpoints()).has_value();
  throw std::runtime_error(fmt::format("{} became {} at step {}{}", what, value, counters_.step,
                                       kept ? "; the last checkpoint is kept" : ""));
}

double Trainer::step() {
  const data::Batch batch = batcher_.next();
  optimizer_->zero_gradients();
  const torch::Tensor loss = batch_loss(batch);
  const double value = loss.item<double>();
  require_finite("the loss", value);
  loss.backward();
  const LrSchedule schedule{config_.train.schedule, config_.train.warmup_steps, config_.train.final_fraction};
  require_finite("the gradient's norm", optimizer_->step(schedule.factor(counters_.step, share())));
  ++counters_.step;
  counters_.tokens += batch.target_tokens;
  counters_.position = batcher_.position();
  counters_.interval_loss += value;
  counters_.interval_tokens += batch.target_tokens;
  ++counters_.interval_steps;
  running_loss_ = running_loss_ == 0 ? value : 0.98 * running_loss_ + 0.02 * value;
  return value;
}

Validation Trainer::validate() {
  Validation validation = data_.validator->validate(network_);
  validation_text_ = validation.text;
  // A finished run that is resumed validates again for its summary; its line is written already.
  if (counters_.validated_step < counters_.step) {
    nlohmann::ordered_json line = {{"step", counters_.step},
                                   {"tokens", counters_.tokens},
                                   {"seconds", counters_.seconds},
                                   {"processor_seconds", counters_.processor_seconds}};
    line.update(validation.figures);
    log_->write(line);
    log_->write(counters_.step, validation.attention);
    counters_.validated_step = counters_.step;
  }
  return validation;
}

// A validation or an update may last longer than the interval: what was missed is not made up for.
void Trainer::advance_validation() {
  counters_.next_validation += config_.train.validation_interval;
  if (counters_.next_validation <= share()) {
    counters_.next_validation = share() + config_.train.validation_interval;
  }
}

void Trainer::log_interval(bool force) {
  if (counters_.interval_steps == 0 || (!force && counters_.step % log_steps != 0)) return;
  const double elapsed = counters_.seconds - counters_.interval_start;
  log_->write(
      {{"step", counters_.step},
       {"tokens", counters_.tokens},
       {"seconds", counters_.seconds},
       {"processor_seconds", counters_.processor_seconds},
       {"loss", counters_.interval_loss / static_cast<double>(counters_.interval_steps)},
       {"tokens_per_second", elapsed > 0 ? static_cast<double>(counters_.interval_tokens) / elapsed : 0}});
  counters_.interval_loss = 0;
  counters_.interval_steps = counters_.interval_tokens = 0;
  counters_.interval_start = counters_.seconds;
}

void Trainer::checkpoint() {
  for (const torch::Tensor& weight : network_->parameters()) {
    require_finite("a weight", weight.detach().abs().max().item<double>());
  }
  save_checkpoint(directory_.checkpoints(), network_, *optimizer_, counters_);
  last_checkpoint_ = counters_.seconds;
}

ProgressState Trainer::progress_state() const {
  const double speed = counters_.seconds > 0 ? static_cast<double>(counters_.tokens) / counters_.seconds : 0;
  return {share(), counters_.step, running_loss_, speed, validation_text_, counters_.seconds};
}

bool Trainer::run(const volatile std::sig_atomic_t* stop) {
  at::set_num_threads(static_cast<int>(config_.train.threads));
  clock_ = now();
  processor_clock_ = processor_now();
  while (share() < 1) {
    step();
    tick();
    log_interval(false);
    progress_.show(progress_state());
    if (config_.train.validation_interval > 0 && share() >= counters_.next_validation && share() < 1) {
      const double before = counters_.seconds;
      validate();
      tick();
      advance_validation();
      counters_.interval_start +=
          counters_.seconds - before;  // validation does not count in tokens per second
    }
    if (*stop != 0 || counters_.seconds - last_checkpoint_ >= config_.train.checkpoint_seconds) checkpoint();
    if (*stop != 0) {
      progress_.finish(progress_state());
      return false;
    }
  }
  log_interval(true);
  const Validation validation = validate();
  tick();
  checkpoint();  // behind the last line: a run killed before it drops that line and writes it once more
  directory_.write_result(network_, counters_, validation);
  progress_.finish(progress_state());
  return true;
}

}  // namespace giantrabbit::train
