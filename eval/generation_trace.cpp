// See generation_trace.h.
#include "eval/generation_trace.h"

#include <algorithm>
#include <functional>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "eval/attention_cost.h"
#include "eval/attention_places.h"
#include "eval/table.h"
#include "model/output_head.h"

namespace giantrabbit::eval {
namespace {

constexpr size_t most_candidates = 3;

std::vector<WeightedWord> candidates(const data::Vocabulary& vocabulary, const torch::Tensor& weights) {
  std::vector<WeightedWord> letters, all;
  for (int64_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& word = vocabulary.word(id);
    all.push_back({word, weights[id].item<double>()});
    if (word.size() == 1 && word[0] >= 'a' && word[0] <= 'z') letters.push_back(all.back());
  }
  if (!letters.empty()) return letters;
  std::ranges::stable_sort(all, std::ranges::greater(), &WeightedWord::weight);
  all.resize(std::min(all.size(), most_candidates));
  return all;
}

// One attention of the decoder, and where its words stand.
class TracedAttention {
 public:
  TracedAttention(const model::AttentionRecord& record, const PlaceMap& map, const data::Words& prompt,
                  const data::Words& output)
      : record_(record), view_(record), places_(map.of(record).keys), prompt_(prompt), output_(output) {}

  // The heads' weights when word `index` was written; the last queries are those of the written words.
  std::vector<TracedWord::Head> heads(size_t index, const std::string& prefix) const {
    const int64_t query = record_.queries - std::ssize(output_) + static_cast<int64_t>(index);
    const int64_t seen = view_.visible(query);
    const int64_t first = record_.name.ends_with(".self") ? query + 1 - seen : 0;
    std::vector<TracedWord::Head> rows;
    for (int64_t head = 0; head < view_.heads(); ++head) {
      TracedWord::Head& row = rows.emplace_back();
      row.name = fmt::format("{}head{}", prefix, head);
      for (int64_t key = first; key < first + seen; ++key) row.seen.push_back({word(key), 0});
      for (const SupportView::Key& key : view_.keys(head, query)) {
        row.seen.at(static_cast<size_t>(key.index - first)).weight = key.weight;
      }
    }
    return rows;
  }

 private:
  std::string word(int64_t key) const {
    const auto& place = places_.at(static_cast<size_t>(key));
    if (!place) return is_bos(key) ? "BOS" : "pause";
    return (place->in_prompt ? prompt_ : output_).at(static_cast<size_t>(place->index));
  }

  // Behind the words' pauses, if there are any, and before the written words.
  bool is_bos(int64_t key) const {
    return record_.name.ends_with(".self") &&
           std::all_of(places_.begin() + key + 1, places_.end(),
                       [](const std::optional<Place>& later) { return later.has_value(); });
  }

  const model::AttentionRecord& record_;
  SupportView view_;
  KeyPlaces places_;
  const data::Words& prompt_;
  const data::Words& output_;
};

std::string seen_text(const std::vector<WeightedWord>& words) {
  std::string text;
  for (const WeightedWord& word : words) {
    text += fmt::format("{}{}:{:.2f}", text.empty() ? "" : ", ", word.word, word.weight);
  }
  return text;
}

std::string candidates_text(const std::vector<WeightedWord>& words) {
  std::string text;
  for (const WeightedWord& word : words) {
    text += fmt::format("{}p({})={:.3f}", text.empty() ? "" : ", ", word.word, word.weight);
  }
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

GenerationTrace trace_generation(Run& run, const data::Words& prompt, const data::Words& output) {
  const torch::NoGradGuard no_grad;
  torch::Tensor logits;
  const model::Trace trace = trace_output(run.network, run.vocabulary, prompt, output, &logits);
  const torch::Tensor weights = model::output_weights(run.config, logits[0]);
  const PlaceMap map(run.config, trace, std::ssize(prompt), std::ssize(output));
  std::vector<const model::AttentionRecord*> records;
  for (const model::AttentionRecord& record : trace.attentions) {
    if (record.name.starts_with("decoder.")) records.push_back(&record);
  }
  GenerationTrace result{prompt, run.config.heads, run.config.width / run.config.heads, {}};
  result.start.emplace_back("BOS");
  for (size_t index = 0; index < output.size(); ++index) {
    result.words.push_back(
        {output[index], candidates(run.vocabulary, weights[static_cast<int64_t>(index)]), {}});
  }
  for (const model::AttentionRecord* record : records) {
    const TracedAttention attention(*record, map, prompt, output);
    const std::string prefix = records.size() == 1 ? "" : record->name + " ";
    for (size_t index = 0; index < output.size(); ++index) {
      for (TracedWord::Head& head : attention.heads(index, prefix)) {
        result.words[index].heads.push_back(std::move(head));
      }
    }
  }
  return result;
}

std::string to_text(const GenerationTrace& trace) {
  std::string text = fmt::format("\n\u2014 AR trace \u2014\nstart [{}]  (heads={}, head_dim={})\n",
                                 fmt::join(trace.start, ", "), trace.heads, trace.head_width);
  data::Words full = trace.start;
  data::Words outputs;
  for (const TracedWord& word : trace.words) {
    full.push_back(word.word);
    outputs.push_back(word.word);
    text +=
        fmt::format("  step{}: {} -> '{}'\n", outputs.size(), candidates_text(word.candidates), word.word);
    for (const TracedWord::Head& head : word.heads) {
      text += fmt::format("    {}: [{}]\n", head.name, seen_text(head.seen));
    }
  }
  return text + fmt::format("  full [{}] -> outputs [{}]\n", fmt::join(full, ", "), fmt::join(outputs, ", "));
}

std::string side_by_side(std::span<const std::string> texts) {
  std::vector<std::string> rows;
  for (const std::string& text : texts) {
    const std::vector<std::string> lines = lines_of(text);
    // Every column starts behind the widest line so far.
    size_t width = 0;
    for (const std::string& row : rows) width = std::max(width, characters(row) + 3);
    rows.resize(std::max(rows.size(), lines.size()));
    for (size_t i = 0; i < lines.size(); ++i)
      rows[i] += std::string(width - characters(rows[i]), ' ') + lines[i];
  }
  return fmt::format("{}\n", fmt::join(rows, "\n"));
}

}  // namespace giantrabbit::eval
