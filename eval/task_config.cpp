// What a run was trained on: option names, what goes together, and the text of a text run; see run.h.
#include <stdexcept>

#include <fmt/format.h>

#include "data/example_source.h"
#include "eval/error_text.h"
#include "eval/run.h"

namespace giantrabbit::eval {
namespace {

constexpr std::string_view text_task = "text";

}  // namespace

void TaskConfig::bind(model::OptionSet& options) {
  std::vector<std::string> formats;
  for (const auto known :
       {data::ChainFormat::prod, data::ChainFormat::delta, data::ChainFormat::answer_only}) {
    formats.emplace_back(data::chain_format_name(known));
  }
  std::vector<std::string> tasks = data::ExampleSource::tasks();
  tasks.emplace_back("abc-sort-*");  // any number of letters and any length
  tasks.emplace_back(text_task);
  options.add("data.task", &task, "problems to train on; text: the characters of --text", std::move(tasks));
  options.add("data.format", &format, "how a chain is written", std::move(formats));
  options.add("data.seed", &seed, "seed of the problems", {0, INT64_MAX});
  options.add("data.text", &text, "file that the task text learns from; its last 10% are not trained on");
  options.add("data.text_length", &text_length, "characters (bytes) of one training window", {2, 1 << 20});
  options.add("data.text_fingerprint", &text_fingerprint,
              "size and hash of the text, filled in when training begins: another text is refused");
}

void TaskConfig::validate(const model::ModelConfig& model) const {
  try {
    (void)vocabulary();  // an option of the kind abc-sort-*
  } catch (const std::invalid_argument& error) {
    throw model::OptionError(fmt::format("data.task: {}", error.what()));
  }
  if (!is_text()) {
    if (!text.empty()) throw model::OptionError("data.text: only the task text reads a file");
    return;
  }
  if (text.empty()) throw model::OptionError("data.text: the task text needs a file");
  if (!is_utf8(text)) throw model::OptionError("data.text: a path that is no UTF-8 cannot be written down");
  if (model.encoder) throw model::OptionError("model.encoder: a text has no prompt to encode, set false");
  if (model.thought_steps > 0) {
    throw model::OptionError("model.thought_steps: a text has no prompt to think about, set 0");
  }
  if (model.output != "softmax") {
    throw model::OptionError(fmt::format(
        "model.output: '{}' gives some characters no probability, a text needs softmax", model.output));
  }
}

bool TaskConfig::is_text() const { return task == text_task; }

data::Vocabulary TaskConfig::vocabulary() const {
  return is_text() ? data::text_vocabulary() : data::ExampleSource::task_vocabulary(task);
}

std::shared_ptr<const data::Text> TaskConfig::open_text(const std::string& elsewhere) const {
  const std::string& file = elsewhere.empty() ? text : elsewhere;
  auto opened = std::make_shared<const data::Text>(file, text_length);
  if (!text_fingerprint.empty() && opened->fingerprint() != text_fingerprint) {
    throw std::runtime_error(
        fmt::format("{}: not the text that training began with (size and hash {}, expected {})", file,
                    opened->fingerprint(), text_fingerprint));
  }
  return opened;
}

}  // namespace giantrabbit::eval
