// See trainer.h.
#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/counter_rng.h"
#include "data/split.h"
#include "eval/config_file.h"
#include "model/loss.h"
#include "model/safetensors.h"
#include "train/lr_schedule.h"
#include "train/mixed_precision.h"

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

ProcessGroup sharing(ProcessGroup group, const RunConfig& config) {
  config.train.require_even_shares(group.size());
  return group;
}

// A text may lie elsewhere on another machine; its fingerprint says that it is the same.
std::string shared_configuration(RunConfig config) {
  config.task.text.clear();
  return eval::write_config(config.options());
}

}  // namespace

Trainer::Trainer(RunConfig& config, const std::filesystem::path& out, bool resume, ProcessGroup group)
    : config_(config),
      group_(sharing(std::move(group), config)),
      data_(open_training_data(config)),
      checkpoints_(RunDirectory::checkpoints_of(out)),
      batcher_(*data_.examples, config.train.batch_tokens, static_cast<uint64_t>(config.task.seed),
               config.model.max_positions),
      progress_(out.filename().empty() ? out.parent_path().filename().string() : out.filename().string()) {
  group_.require_same("the configuration", shared_configuration(config));
  group_.first_only([&] { directory_.emplace(out, config, data_.examples->vocabulary(), resume); });
  const auto kept = resume ? newest_checkpoint(checkpoints_) : std::nullopt;
  const model::TokenTraits traits = eval::token_traits(data_.examples->vocabulary());
  if (kept) require_room_for(*kept, model::least_entries(config.model, traits.size()));
  torch::manual_seed(static_cast<uint64_t>(config.task.seed));
  network_ = model::GiantRabbit(config.model, traits);
  optimizer_.emplace(network_, config.train);
  gradients_.emplace(network_->parameters(), group_);
  counters_.next_validation = config.train.validation_interval;
  if (resume) {
    if (kept) counters_ = load_checkpoint(*kept, network_, *optimizer_, batcher_);
    // A raised limit makes the share smaller. Where it is the same this changes nothing.
    counters_.next_validation =
        std::min(counters_.next_validation, share() + config.train.validation_interval);
  }
  for (const auto& [name, tensor] : model::state_of(*network_)) group_.broadcast(tensor);
  require_same_state();
  if (directory_) log_.emplace(directory_->metrics(), counters_);
  last_checkpoint_ = counters_.seconds;
}

// Whatever makes weights differ - another library, another processor, another checkpoint - is an error.
void Trainer::require_same_state() const {
  if (group_.size() == 1) return;
  std::string state = fmt::format("{} {}", counters_.step, counters_.tokens);
  for (const auto& [name, tensor] : model::state_of(*network_)) {
    const torch::Tensor weights = tensor.contiguous();
    const std::string_view bytes(static_cast<const char*>(weights.data_ptr()), weights.nbytes());
    state += fmt::format(" {} {:x}", name, data::fnv1a64(bytes));
  }
  group_.require_same("the model", state);
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

// The first process's clock counts for all. True where any of them is to stop.
bool Trainer::tick(const volatile std::sig_atomic_t* stop) {
  const double time = now(), processor_time = processor_now();
  const std::vector<double> sums = group_.sum(
      {group_.is_first() ? time - clock_ : 0, processor_time - processor_clock_, *stop != 0 ? 1.0 : 0.0});
  clock_ = time;
  processor_clock_ = processor_time;
  counters_.seconds += sums[0];
  counters_.processor_seconds += sums[1];
  return sums[2] > 0;
}

// Every process passes over all micro-batches, so it knows the number of their tokens without asking.
Trainer::Update Trainer::next_update() {
  Update update;
  const int64_t count = config_.train.accumulate, share = count / group_.size();
  for (int64_t index = 0; index < count; ++index) {
    if (index / share != group_.rank()) {
      update.target_tokens += batcher_.skip();
      continue;
    }
    data::CounterRng seed{data::fnv1a64("micro-batch"), static_cast<uint64_t>(config_.task.seed),
                          static_cast<uint64_t>(counters_.step), static_cast<uint64_t>(index)};
    update.micro_batches.push_back({batcher_.next(), seed.next()});
    update.target_tokens += update.micro_batches.back().batch.target_tokens;
  }
  return update;
}

torch::Tensor Trainer::batch_loss(const data::Batch& batch) {
  const MixedPrecision guard(config_.train.precision == "bfloat16");
  const torch::Tensor logits = network_->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  return model::sequence_loss(config_.model, logits, batch.target, data::Vocabulary::pad);
}

void Trainer::require_finite(const char* what, double value) const {
  if (std::isfinite(value)) return;
  const bool kept = newest_checkpoint(checkpoints_).has_value();
  throw std::runtime_error(fmt::format("{} became {} at step {}{}", what, value, counters_.step,
                                       kept ? "; the last checkpoint is kept" : ""));
}

double Trainer::step() {
  const double begin = now();
  const Update update = next_update();
  optimizer_->zero_gradients();
  double own = 0, own_tokens = 0;
  for (const auto& [batch, seed] : update.micro_batches) {
    torch::manual_seed(seed);
    const torch::Tensor loss = batch_loss(batch);
    const auto tokens = static_cast<double>(batch.target_tokens);
    const double weight = tokens / static_cast<double>(update.target_tokens);
    own += weight * loss.item<double>();
    own_tokens += tokens;
    if (&batch == &update.micro_batches.back().batch) gradients_->expect_last_backward();
    loss.backward(torch::full_like(loss, weight));
  }
  gradients_->finish();
  const std::vector<double> sums = group_.sum({own, own_tokens});
  if (sums[1] != static_cast<double>(update.target_tokens)) {
    throw std::runtime_error(fmt::format("the processes drew other problems at step {}", counters_.step));
  }
  const double value = sums[0];
  require_finite("the loss", value);
  const LrSchedule schedule{config_.train.schedule, config_.train.warmup_steps, config_.train.final_fraction};
  require_finite("the gradient's norm", optimizer_->step(schedule.factor(counters_.step, share())));
  ++counters_.step;
  counters_.tokens += update.target_tokens;
  counters_.position = batcher_.position();
  counters_.interval_loss += value;
  counters_.interval_tokens += update.target_tokens;
  ++counters_.interval_steps;
  running_loss_ = running_loss_ == 0 ? value : 0.98 * running_loss_ + 0.02 * value;
  group_.expect_updates_of(now() - begin);
  return value;
}

Validation Trainer::validate() {
  Validation validation;
  group_.first_only([&] { validation = data_.validator->validate(network_); });
  validation_text_ = validation.text;
  // A finished run that is resumed validates again for its summary; its line is written already.
  if (counters_.validated_step < counters_.step) {
    nlohmann::ordered_json line = {{"step", counters_.step},
                                   {"tokens", counters_.tokens},
                                   {"seconds", counters_.seconds},
                                   {"processor_seconds", counters_.processor_seconds}};
    if (log_) {
      line.update(validation.figures);
      log_->write(line);
      log_->write(counters_.step, validation.attention);
    }
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
  if (log_)
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
  require_same_state();
  group_.first_only([&] { save_checkpoint(checkpoints_, network_, *optimizer_, counters_); });
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
    bool stopping = tick(stop);
    log_interval(false);
    if (group_.is_first()) progress_.show(progress_state());
    if (config_.train.validation_interval > 0 && share() >= counters_.next_validation && share() < 1) {
      const double before = counters_.seconds;
      validate();
      stopping = tick(stop);
      advance_validation();
      counters_.interval_start +=
          counters_.seconds - before;  // validation does not count in tokens per second
    }
    if (stopping || counters_.seconds - last_checkpoint_ >= config_.train.checkpoint_seconds) checkpoint();
    if (stopping) {
      if (group_.is_first()) progress_.finish(progress_state());
      return false;
    }
  }
  log_interval(true);
  const Validation validation = validate();
  tick(stop);
  checkpoint();  // behind the last line: a run killed before it drops that line and writes it once more
  group_.first_only([&] {
    directory_->write_result(network_, counters_, group_.size(), validation);
    progress_.finish(progress_state());
  });
  return true;
}

}  // namespace giantrabbit::train
