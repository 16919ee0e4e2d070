// How far back does a reader remember? Sequences of random symbols, asked for is the first one, at the last
// place: its distance is the length. An Elman network (Elman 1990: h_t = tanh(W x_t + U h_(t-1) + b), read
// from its last state) against one layer of softmax or sparsemax attention of the same width over the same
// embedding. In, distances, models and one budget of updates for all of them; out, one line a distance: each
// reader's share of right answers on fresh sequences with its 95% interval, on request as comma-separated
// values and as a plot. Every reader is trained anew for every distance, by Adam at 0.01 with clipped
// gradients, until a fresh batch of sequences is all right or the budget is spent.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include <cxxopts.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "data/atomic_file.h"
#include "eval/error_text.h"
#include "eval/gnuplot.h"
#include "eval/plot.h"
#include "eval/statistics.h"
#include "model/attention.h"
#include "model/embedding.h"
#include "model/feed_forward.h"

namespace {

namespace eval = giantrabbit::eval;
namespace model = giantrabbit::model;

constexpr int64_t symbols = 10;
constexpr int64_t batch = 64;
constexpr int64_t judged = 2000;
constexpr int64_t steps_between_checks = 50;
// A key further than the gap of a sparse row (1 for sparsemax) below the top has weight and gradient 0.
// Adam's updates are as large as ever when the top key is found, and its momentum goes on for ten of them: at
// the usual scale that moves scores by more than the gap and cuts the right key off for single symbols, for
// good. At this scale ten updates move a score by a fraction of the gap.
constexpr double sparse_score_scale = 0.005;

struct Options {
  std::vector<int64_t> distances;
  std::vector<std::string> models;  // "elman" or the weights of an attention
  int64_t steps = 0;
  uint64_t seed = 0;
  std::string csv, plot;  // files; empty: not written
};

model::ModelConfig reader_config(const std::string& kind) {
  model::ModelConfig config;
  config.width = 20;
  config.heads = 2;
  config.attention = kind == "elman" ? "softmax" : kind;
  config.position = "sinusoidal";
  config.number_features = false;
  if (kind == "sparsemax" || kind == "entmax15") config.score_scale = sparse_score_scale;
  return config;
}

model::TokenTraits symbol_traits() {
  model::TokenTraits traits;
  traits.tokens.resize(symbols);
  return traits;
}

// Tokens [B, T] -> logits [B, symbols].
class Reader : public torch::nn::Module {
 public:
  explicit Reader(const std::string& kind)
      : config_(reader_config(kind)),
        embedding_(register_module("embedding", model::Embedding(config_, symbol_traits()))),
        out_(register_module("out", torch::nn::Linear(config_.width, symbols))) {
    if (kind == "elman") {
      const auto options = torch::nn::RNNOptions(config_.width, config_.width).batch_first(true);
      elman_ = register_module("elman", torch::nn::RNN(options));
    } else {
      norm_ = register_module("norm", model::Norm(config_));
      attention_ = register_module("attention", model::CrossAttention(config_));
    }
  }

  torch::Tensor forward(const torch::Tensor& tokens) {
    const torch::Tensor x = embedding_->prompt(tokens);
    if (attention_.is_empty()) return out_->forward(std::get<0>(elman_->forward(x)).select(1, -1));
    // The last place of a layer of self-attention: the outputs of the others would not be read.
    const torch::Tensor last = x.narrow(1, -1, 1);
    const torch::Tensor read = attention_->forward(norm_->forward(last), norm_->forward(x), {}, nullptr, "");
    return out_->forward((last + read).squeeze(1));
  }

 private:
  model::ModelConfig config_;
  model::Embedding embedding_;
  torch::nn::Linear out_;
  torch::nn::RNN elman_{nullptr};
  model::Norm norm_{nullptr};
  model::CrossAttention attention_{nullptr};
};

torch::Tensor random_sequences(int64_t count, int64_t distance) {
  return torch::randint(symbols, {count, distance + 1}, torch::kInt64);
}

// Right answers to `judged` fresh sequences.
int64_t judge(Reader& reader, int64_t distance) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor tokens = random_sequences(judged, distance);
  return reader.forward(tokens).argmax(-1).eq(tokens.select(1, 0)).sum().item<int64_t>();
}

struct Recall {
  int64_t right = 0;  // of `judged`
  int64_t steps = 0;  // updates that were taken
};

Recall train_and_judge(const std::string& kind, int64_t distance, const Options& options) {
  torch::manual_seed(options.seed);
  Reader reader(kind);
  torch::optim::Adam adam(reader.parameters(), torch::optim::AdamOptions(0.01));
  int64_t step = 0;
  while (step < options.steps) {
    const torch::Tensor tokens = random_sequences(batch, distance);
    adam.zero_grad();
    torch::cross_entropy_loss(reader.forward(tokens), tokens.select(1, 0)).backward();
    torch::nn::utils::clip_grad_norm_(reader.parameters(), 1);
    adam.step();
    if (++step % steps_between_checks == 0 && judge(reader, distance) == judged) break;
  }
  return {judge(reader, distance), step};
}

// One series a model, filled while the table is printed.
std::vector<eval::PlotSeries> measure(const Options& options) {
  fmt::print("Right answers in % of {}, 95% interval, updates taken (at most {}); chance is {}%\n{:>8}",
             judged, options.steps, 100 / symbols, "distance");
  std::vector<eval::PlotSeries> series;
  for (const std::string& kind : options.models) {
    fmt::print("  {:>27}", kind);
    series.push_back({kind, {}});
  }
  fmt::print("\n");
  for (const int64_t distance : options.distances) {
    fmt::print("{:8}", distance);
    for (eval::PlotSeries& line : series) {
      const Recall recall = train_and_judge(line.label, distance, options);
      const eval::Interval interval = eval::wilson(recall.right, judged);
      const double percent = 100.0 * static_cast<double>(recall.right) / judged;
      line.points.push_back(
          {static_cast<double>(distance), percent, 100 * interval.low, 100 * interval.high});
      fmt::print("  {:5.1f} [{:5.1f}, {:5.1f}] {:>6}", percent, 100 * interval.low, 100 * interval.high,
                 recall.steps);
      std::fflush(stdout);
    }
    fmt::print("\n");
  }
  return series;
}

void run(const Options& options) {
  const bool draws = !options.plot.empty() && eval::has_gnuplot();
  if (!options.plot.empty() && !draws) {
    fmt::print(stderr, "recall_distance: gnuplot was not found, so {} is not drawn\n", options.plot);
  }
  eval::Plot plot;
  plot.name = "recall-distance";
  plot.title = "Recall of the first symbol";
  plot.x_label = "distance (symbols)";
  plot.y_label = "right answers (%)";
  plot.log_x = true;
  plot.y_range = eval::Interval{0, 102};
  plot.series = measure(options);
  if (!options.csv.empty()) giantrabbit::data::write_file_atomically(options.csv, eval::to_csv(plot));
  if (draws) {
    giantrabbit::data::write_file_atomically(options.plot, eval::draw_svg_file(eval::gnuplot_script(plot)));
  }
}

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

cxxopts::Options description() {
  cxxopts::Options options("recall_distance", "Right answers against the distance of what is asked for.");
  auto add = options.add_options();
  add("distances", "places back",
      cxxopts::value<std::vector<int64_t>>()->default_value("1,2,5,10,20,50,100,200,500"));
  add("models", "elman, softmax, sparsemax, entmax15",
      cxxopts::value<std::vector<std::string>>()->default_value("elman,softmax,sparsemax"));
  add("steps", "updates of a reader at most", cxxopts::value<int64_t>()->default_value("2000"));
  add("seed", "of weights and sequences", cxxopts::value<uint64_t>()->default_value("1"));
  add("threads", "threads of one operator", cxxopts::value<int>()->default_value("1"));
  add("csv", "write the figures to this file", cxxopts::value<std::string>()->default_value(""));
  add("plot", "draw them into this SVG file, needs gnuplot",
      cxxopts::value<std::string>()->default_value(""));
  add("help", "print this text");
  return options;
}

Options checked(const cxxopts::ParseResult& given) {
  if (!given.unmatched().empty()) {
    throw UsageError(fmt::format("unexpected argument '{}'; --help lists the options", given.unmatched()[0]));
  }
  Options options{given["distances"].as<std::vector<int64_t>>(),
                  given["models"].as<std::vector<std::string>>(),
                  given["steps"].as<int64_t>(),
                  given["seed"].as<uint64_t>(),
                  given["csv"].as<std::string>(),
                  given["plot"].as<std::string>()};
  for (const int64_t distance : options.distances) {
    if (distance < 1) throw UsageError(fmt::format("--distances: expected 1 or more, got {}", distance));
  }
  const std::vector<std::string> known = {"elman", "softmax", "sparsemax", "entmax15"};
  for (const std::string& kind : options.models) {
    if (std::ranges::find(known, kind) != known.end()) continue;
    throw UsageError(fmt::format("--models: unknown model '{}'; known are {}", kind, fmt::join(known, ", ")));
  }
  if (options.steps < 0) throw UsageError(fmt::format("--steps: expected 0 or more, got {}", options.steps));
  for (const std::string& file : {options.csv, options.plot}) {
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    if (folder.empty() || std::filesystem::is_directory(folder)) continue;
    throw UsageError(fmt::format("{}: there is no folder {}", file, folder.string()));
  }
  const int threads = given["threads"].as<int>();
  if (threads < 1) throw UsageError(fmt::format("--threads: expected 1 or more, got {}", threads));
  at::set_num_threads(threads);
  return options;
}

int fail(const std::exception& error, int code) {
  fmt::print(stderr, "recall_distance: {}\n", eval::error_text(error));
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cxxopts::Options options = description();
    const cxxopts::ParseResult given = options.parse(argc, argv);
    if (given.count("help") > 0) {
      fmt::print("{}", options.help());
      return 0;
    }
    run(checked(given));
    return 0;
  } catch (const cxxopts::exceptions::exception& error) {
    return fail(error, 2);
  } catch (const UsageError& error) {
    return fail(error, 2);
  } catch (const std::exception& error) {
    return fail(error, 1);
  }
}
