// Traces -> lines of text; see inspection.h. A step's line is the mean over the words it writes.
#include "eval/inspection.h"

#include <algorithm>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "data/words.h"
#include "eval/attention_places.h"
#include "eval/chain_text.h"

namespace giantrabbit::eval {
namespace {

constexpr size_t most_shown = 10;
constexpr double least_shown = 0.01;

// Which words [begin, end) of the output, or which thoughts, a block of lines is about.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

class InspectionWriter {
 public:
  InspectionWriter(const model::ModelConfig& config, const model::Trace& trace, const Judged& item,
                   data::ChainFormat format, const InspectionOptions& options)
      : config_(config),
        trace_(trace),
        item_(item),
        options_(options),
        map_(config, trace, std::ssize(item.problem.prompt), std::ssize(item.output)),
        names_(item.problem.prompt, item.output),
        needs_(find_needs(item.problem.prompt, item.output, format)) {}

  std::string write() {
    text_ = fmt::format("{}\n", data::join_words(item_.problem.prompt));
    text_ += fmt::format(
        "  Names: 3@R2.1 is the word 3 in row 2, column 1 of the prompt; 3@2:5 the fifth word of written "
        "line 2.\n"
        "  Keys: size of a support with {:.0f}% of the weight, of those seen; then the heaviest words with "
        "their "
        "mean weight.\n",
        100 * options_.mass);
    for (int64_t step = 0; step < config_.thought_steps; ++step) write_thought(step);
    int position = 0;
    for (const data::StepVerdict& step : item_.verdict.steps) {
      write_step(step.begin, step.end, check_mark(step.valid), step.reason);
      position = step.end;
    }
    const auto size = static_cast<int>(item_.output.size());
    if (position < size) write_step(position, size, check_mark(item_.verdict.answer_right), "");
    return std::move(text_);
  }

 private:
  void write_thought(int64_t step) {
    const std::string prefix = fmt::format("thought.{}.", step);
    text_ += fmt::format("\nthought step {} of {}\n", step + 1, config_.thought_steps);
    for (const model::AttentionRecord& record : trace_.attentions) {
      if (!record.name.starts_with(prefix)) continue;
      write_heads(record, {0, record.queries}, {});
      if (!options_.each_word) continue;
      const AttentionPlaces places = map_.of(record);
      for (int64_t query = 0; query < record.queries; ++query) {
        const auto& place = places.queries[static_cast<size_t>(query)];
        text_ += fmt::format("    thought of {}\n", place ? names_(*place) : "a pause");
        write_heads(record, {query, query + 1}, {});
      }
    }
  }

  void write_step(int begin, int end, const std::string& mark, const std::string& remark) {
    const auto words =
        std::span(item_.output).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    text_ +=
        fmt::format("\n{} {}{}\n", mark, data::join_words(words), remark.empty() ? "" : "   <- " + remark);
    write_range({begin, end});
    for (int word = begin; options_.each_word && word < end; ++word) {
      text_ += fmt::format("    writing {}\n", names_({false, word}));
      write_range({word, word + 1});
    }
  }

  void write_range(const Range& range) {
    write_needs(range);
    const std::vector<MatchRow> matches =
        match_needs(config_, trace_, std::ssize(item_.problem.prompt), needs_, options_.mass,
                    static_cast<size_t>(range.begin), static_cast<size_t>(range.end));
    const int64_t first = config_.encoder ? 0 : std::ssize(item_.problem.prompt) + config_.pause_tokens;
    for (const model::AttentionRecord& record : trace_.attentions) {
      if (record.name.starts_with("decoder.")) {
        write_heads(record, {first + range.begin, first + range.end}, matches);
      }
    }
    const MatchRow& any = matches.back();
    if (any.match.words > 0) text_ += fmt::format("  {:15} any head  {}\n", any.layer, match_text(any.match));
  }

  void write_needs(const Range& range) {
    std::vector<Place> values;
    for (int64_t word = range.begin; word < range.end; ++word) {
      for (const Place& place : needs_[static_cast<size_t>(word)].values) {
        const bool earlier = place.in_prompt || place.index < range.begin;
        if (earlier && std::ranges::find(values, place) == values.end()) values.push_back(place);
      }
    }
    std::ranges::sort(values, [](const Place& a, const Place& b) {
      return a.in_prompt != b.in_prompt ? a.in_prompt : a.index < b.index;
    });
    if (values.empty()) return;
    text_ += "  needed from before:";
    for (const Place& place : values) text_ += " " + names_(place);
    text_ += "\n";
  }

  void write_heads(const model::AttentionRecord& record, const Range& queries,
                   const std::vector<MatchRow>& matches) {
    const SupportView view(record);
    const AttentionPlaces places = map_.of(record);
    for (int64_t head = 0; head < view.heads(); ++head) {
      double size = 0;
      double visible = 0;
      std::map<std::string, double> weights;
      const auto count = static_cast<double>(queries.end - queries.begin);
      for (int64_t query = queries.begin; query < queries.end; ++query) {
        size += static_cast<double>(view.heaviest(head, query, options_.mass).size()) / count;
        visible += static_cast<double>(view.visible(query)) / count;
        for (const SupportView::Key& key : view.keys(head, query)) {
          const auto& place = places.keys[static_cast<size_t>(key.index)];
          weights[place                      ? names_(*place)
                  : config_.pause_tokens > 0 ? "BOS or pause"
                                             : "BOS"] += key.weight / count;
        }
      }
      const auto match = std::ranges::find_if(matches, [&](const MatchRow& row) {
        return row.layer == record.name && row.head == std::to_string(head);
      });
      const bool needed = match != matches.end() && match->match.words > 0;
      text_ += fmt::format("  {:15} head {}  {:4.1f} of {:5.1f}  {}{}\n", record.name, head, size, visible,
                           needed ? match_text(match->match) + "  " : "", heaviest_words(weights));
    }
  }

  static std::string heaviest_words(const std::map<std::string, double>& weights) {
    std::vector<std::pair<std::string, double>> order(weights.begin(), weights.end());
    std::ranges::stable_sort(order, std::ranges::greater(), &std::pair<std::string, double>::second);
    std::string text;
    for (size_t index = 0; index < std::min(most_shown, order.size()); ++index) {
      if (order[index].second < least_shown) break;
      text += fmt::format(" {} {:.2f}", order[index].first, order[index].second);
    }
    return text.empty() ? " nothing" : text;
  }

  static std::string share_text(const Hits& hits) {
    return hits.total == 0 ? "   -" : fmt::format("{:3.0f}%", 100 * hits.found / hits.total);
  }
  static std::string match_text(const Match& match) {
    return fmt::format("values {} header {} needed {}", share_text(match.values), share_text(match.header),
                       share_text(match.support));
  }

  const model::ModelConfig& config_;
  const model::Trace& trace_;
  const Judged& item_;
  const InspectionOptions& options_;
  PlaceMap map_;
  PlaceNames names_;
  std::vector<WordNeed> needs_;
  std::string text_;
};

bool is_value(const std::string& word) { return word[0] == '-' || (word[0] >= '0' && word[0] <= '9'); }

}  // namespace

PlaceNames::PlaceNames(const data::Words& prompt, const data::Words& output) {
  int row = 1;
  int column = 0;
  for (size_t index = 0; index < prompt.size(); ++index) {
    const std::string& word = prompt[index];
    if (is_value(word)) ++column;
    const bool in_row = is_value(word) || word[0] == '/';
    prompt_.push_back(in_row ? fmt::format("{}@R{}.{}", word, row, column)
                             : fmt::format("{}@p{}", word, index));
    if (word != ";") continue;
    ++row;
    column = 0;
  }
  int line = 1;
  int place = 0;
  for (const std::string& word : output) {
    output_.push_back(fmt::format("{}@{}:{}", word, line, ++place));
    if (word != "NL") continue;
    ++line;
    place = 0;
  }
}

std::string PlaceNames::operator()(const Place& place) const {
  return (place.in_prompt ? prompt_ : output_).at(static_cast<size_t>(place.index));
}

std::string inspection_text(const model::ModelConfig& config, const model::Trace& trace, const Judged& item,
                            data::ChainFormat format, const InspectionOptions& options) {
  return InspectionWriter(config, trace, item, format, options).write();
}

}  // namespace giantrabbit::eval
