// Traces -> cells; see attention_picture.h.
#include "eval/attention_picture.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "eval/attention_places.h"
#include "eval/need_match.h"

namespace giantrabbit::eval {
namespace {

constexpr double least_painted = 0.01;

class Painter {
 public:
  explicit Painter(int64_t prompt_words) : prompt_words_(prompt_words) {}

  void weigh(int64_t row, const Place& place, double weight) {
    HeatMap::Cell& cell = at(row, place);
    cell.weight = std::max(cell.weight, weight);
  }
  void mark(int64_t row, const Place& place) { at(row, place).needed = true; }
  std::vector<HeatMap::Cell> cells() const {
    std::vector<HeatMap::Cell> all;
    for (const auto& [key, cell] : cells_) all.push_back(cell);
    return all;
  }

 private:
  HeatMap::Cell& at(int64_t row, const Place& place) {
    const int64_t column = place.in_prompt ? place.index : prompt_words_ + place.index;
    HeatMap::Cell& cell = cells_[{row, column}];
    cell.row = row;
    cell.column = column;
    return cell;
  }
  int64_t prompt_words_;
  std::map<std::pair<int64_t, int64_t>, HeatMap::Cell> cells_;
};

// "decoder.1.": of the layer with the most weight on needed words, self- and cross-attention together; the
// first one when nothing is needed.
std::string most_useful_layer(const std::vector<MatchRow>& rows) {
  std::map<std::string, double> weights;
  for (const MatchRow& row : rows) {
    const size_t end = row.layer.find_last_of('.');
    if (row.head == "any" && end != std::string::npos) {
      weights[row.layer.substr(0, end + 1)] += row.match.weight.found;
    }
  }
  const auto most = std::ranges::max_element(weights, {}, &std::pair<const std::string, double>::second);
  return most == weights.end() ? "decoder.0." : most->first;
}

}  // namespace

HeatMap attention_picture(const std::string& run, const model::ModelConfig& config, const model::Trace& trace,
                          const data::Words& prompt, const data::Words& output, data::ChainFormat format) {
  const std::vector<WordNeed> needs = find_needs(prompt, output, format);
  const std::string layer = most_useful_layer(
      match_needs(config, trace, std::ssize(prompt), needs, default_support_mass, 0, needs.size()));
  HeatMap map;
  map.name = "attention-" + run;
  map.title = fmt::format("What {} attended to while it wrote one solved problem ({})", run,
                          layer.substr(0, layer.size() - 1));
  map.x_label = "words of the prompt, then written words";
  map.y_label = "written word";
  map.columns = prompt;
  map.columns.insert(map.columns.end(), output.begin(), output.end() - 1);
  map.rows = output;
  map.note =
      "Colour: the largest weight of any head of the layer with the most weight on needed words; squares: "
      "the "
      "words that the written one is computed from.";
  Painter painter(std::ssize(prompt));
  const PlaceMap places(config, trace, std::ssize(prompt), std::ssize(output));
  for (const model::AttentionRecord& record : trace.attentions) {
    if (!record.name.starts_with(layer)) continue;
    const SupportView view(record);
    const AttentionPlaces where = places.of(record);
    for (int64_t query = 0; query < view.queries(); ++query) {
      const auto& written = where.queries[static_cast<size_t>(query)];
      if (!written || written->in_prompt) continue;
      for (int64_t head = 0; head < view.heads(); ++head) {
        for (const SupportView::Key& key : view.keys(head, query)) {
          const auto& place = where.keys[static_cast<size_t>(key.index)];
          if (place && key.weight >= least_painted) painter.weigh(written->index, *place, key.weight);
        }
      }
    }
  }
  for (size_t word = 0; word < needs.size(); ++word) {
    for (const Place& place : needs[word].values) painter.mark(static_cast<int64_t>(word), place);
  }
  map.cells = painter.cells();
  return map;
}

}  // namespace giantrabbit::eval
