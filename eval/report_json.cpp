// Report -> JSON. Keys keep their meaning between versions; times are in seconds, shares are fractions of 1.
#include "eval/report_json.h"

#include <nlohmann/json.hpp>

#include "eval/ladder_report.h"

namespace giantrabbit::eval {
namespace {

using Json = nlohmann::ordered_json;

Json json(const Interval& interval) { return Json::array({interval.low, interval.high}); }

Json json(const Share& share) {
  return {{"rate", share.rate()},
          {"count", share.count},
          {"total", share.total},
          {"interval", json(share.interval)}};
}

Json json(const Lengths& lengths) {
  return {{"items", lengths.items},
          {"words", lengths.words},
          {"reference_words", lengths.reference_words},
          {"steps", lengths.steps},
          {"ratio", lengths.ratio()}};
}

Json json(const Spread& spread) {
  return {{"least", spread.least},
          {"quartiles", {spread.low, spread.median, spread.high}},
          {"median", spread.median}};
}

Json json(const RunTiming& timing) {
  return {{"items", timing.items.size()},        {"repeats", timing.repeats},
          {"encode", json(timing.encode)},       {"think", json(timing.think)},
          {"decode", json(timing.decode)},       {"total", json(timing.total)},
          {"per_token", json(timing.per_token)}, {"per_step", json(timing.per_step)}};
}

Json json(const AttentionCost& cost) {
  Json layers = Json::array();
  for (const LayerCost& layer : cost.layers) {
    Json heads = Json::array();
    for (const HeadCost& head : layer.heads) {
      heads.push_back(
          {{"keys_used", head.keys_used}, {"density", head.density}, {"page_density", head.page_density}});
    }
    const HeadCost mean = layer.mean();
    layers.push_back({{"name", layer.name},
                      {"queries", layer.queries},
                      {"keys_visible", layer.keys_visible},
                      {"keys_used", mean.keys_used},
                      {"density", mean.density},
                      {"union_density", layer.union_density},
                      {"page_density", mean.page_density},
                      {"heads", std::move(heads)}});
  }
  return {{"items", cost.items},
          {"tokens", cost.tokens},
          {"keys_per_page", keys_per_page},
          {"keys_visible_per_token", cost.keys_visible},
          {"key_bytes_per_token", cost.key_bytes},
          {"value_bytes_per_token", cost.value_bytes},
          {"layers", std::move(layers)}};
}

Json errors_json(const Metrics& metrics) {
  Json errors = Json::object();
  for (size_t index = 0; index < error_classes; ++index) {
    errors[std::string(data::error_class_name(static_cast<data::ErrorClass>(index)))] = metrics.errors[index];
  }
  return errors;
}

Json json(const PairedCounts& pairs) {
  return {{"both", pairs.both},
          {"only_first", pairs.only_first},
          {"only_second", pairs.only_second},
          {"neither", pairs.neither}};
}

Json json(const AccuracyDifference& accuracy) {
  Json seeds = Json::array();
  for (const SeedResult& seed : accuracy.seeds) {
    seeds.push_back({{"seed", seed.seed},
                     {"pairs", json(seed.pairs)},
                     {"difference", seed.difference()},
                     {"mcnemar", mcnemar(seed.pairs)}});
  }
  return {{"items", accuracy.items},
          {"difference", accuracy.difference},
          {"interval", json(accuracy.interval)},
          {"probability", accuracy.probability},
          {"adjusted_probability", accuracy.adjusted},
          {"seeds", std::move(seeds)}};
}

Json comparison_json(const Comparison& comparison) {
  const AccuracyDifference& accuracy = comparison.accuracy;
  Json result = {{"first", comparison.first}, {"second", comparison.second}};
  result.update(json(accuracy));
  if (accuracy.seeds.size() == 1) {
    result["pairs"] = json(accuracy.seeds.front().pairs);
    result["mcnemar"] = accuracy.probability;
  }
  result["non_inferiority"] = {{"margin", non_inferiority_margin},
                               {"lower_bound", accuracy.keeps.lower_bound},
                               {"probability", accuracy.keeps.probability},
                               {"adjusted_probability", accuracy.keeps.adjusted},
                               {"shown", accuracy.keeps.shown()}};
  result["words_on_solved_by_both"] = {
      {"first", comparison.first_lengths.words},     {"second", comparison.second_lengths.words},
      {"difference", comparison.words.mean},         {"interval", json(comparison.words.interval)},
      {"probability", comparison.words.probability}, {"adjusted_probability", comparison.words.adjusted}};
  Json strata = Json::object();
  for (const Comparison::Strata& division : comparison.strata) {
    for (const Comparison::Stratum& stratum : division.groups) {
      strata[division.title][stratum.group] = json(stratum.accuracy);
    }
  }
  result["groups"] = std::move(strata);
  result["conclusions"] = conclusions(comparison);
  return result;
}

Json json(const Recovered& part) {
  return {{"found", part.found},
          {"interval", json(part.interval)},
          {"chance", part.chance},
          {"excess", part.excess},
          {"excess_interval", json(part.excess_interval)}};
}

Json json(const NeedSummary& needs) {
  Json rows = Json::array();
  for (const NeedRow& row : needs.rows) {
    rows.push_back({{"attention", row.layer},
                    {"head", row.head},
                    {"keys", row.keys},
                    {"visible", row.visible},
                    {"values", json(row.values)},
                    {"header", json(row.header)},
                    {"support", json(row.support)},
                    {"weight", json(row.weight)}});
  }
  return {{"items", needs.items}, {"words", needs.words}, {"mass", needs.mass}, {"rows", std::move(rows)}};
}

Json run_json(const RunReport& run, const std::vector<Grouping>& groupings) {
  Json groups = Json::object();
  for (size_t index = 0; index < groupings.size(); ++index) {
    Json members = Json::object();
    for (size_t group = 0; group < groupings[index].groups.size(); ++group) {
      const Metrics& metrics = run.groups[index][group];
      members[groupings[index].groups[group]] = {{"exact", json(metrics.exact)},
                                                 {"chain_valid", json(metrics.chain_valid)},
                                                 {"steps_valid", json(metrics.steps_valid)}};
    }
    groups[groupings[index].title] = std::move(members);
  }
  return {{"name", run.label},
          {"exact", json(run.all.exact)},
          {"chain_valid", json(run.all.chain_valid)},
          {"steps_valid", json(run.all.steps_valid)},
          {"lengths", {{"all", json(run.all.lengths)}, {"solved_by_all", json(run.solved_by_all)}}},
          {"times", json(run.timing)},
          {"densities", json(run.cost)},
          {"steps_as_reference", json(run.all.steps_as_reference)},
          {"trace_error", json(run.all.trace_error)},
          {"truncated", json(run.all.truncated)},
          {"errors", errors_json(run.all)},
          {"groups", std::move(groups)},
          {"directory", run.directory},
          {"attention", run.attention},
          {"format", run.format},
          {"seed", run.seed},
          {"parameters", run.parameters},
          {"needs", json(run.needs)}};
}

// A bound that is not there is null.
Json json(const Plot& plot) {
  Json series = Json::array();
  for (const PlotSeries& one : plot.series) {
    Json points = Json::array();
    for (const PlotPoint& point : one.points) points.push_back({point.x, point.y, point.low, point.high});
    series.push_back({{"label", one.label}, {"points", std::move(points)}});
  }
  return {{"name", plot.name},       {"title", plot.title},           {"x_label", plot.x_label},
          {"y_label", plot.y_label}, {"categories", plot.categories}, {"series", std::move(series)}};
}

Json json(const HeatMap& map) {
  Json cells = Json::array();
  for (const HeatMap::Cell& cell : map.cells) {
    cells.push_back({cell.row, cell.column, cell.weight, cell.needed});
  }
  return {{"name", map.name},
          {"title", map.title},
          {"columns", map.columns},
          {"rows", map.rows},
          {"cells", std::move(cells)}};
}

}  // namespace

nlohmann::ordered_json report_json(const Report& report) {
  Json root;
  root["items"] = report.items;
  root["weights"] = report.weights;
  root["machine"] = {
      {"cpu", report.machine.cpu}, {"threads", report.machine.threads}, {"library", report.machine.library}};
  root["runs"] = Json::array();
  for (const RunReport& run : report.runs) root["runs"].push_back(run_json(run, report.groupings));
  root["variants"] = Json::array();
  for (const VariantReport& variant : report.variants) {
    Json names = Json::array();
    for (const size_t run : variant.runs) names.push_back(report.runs[run].label);
    root["variants"].push_back(
        {{"name", variant.label},
         {"runs", std::move(names)},
         {"exact", {{"mean", variant.exact.mean}, {"interval", json(variant.exact.interval)}}}});
  }
  root["ladders"] = Json::array();  // of --lengths, one a run
  for (const Ladder& ladder : report.ladders) root["ladders"].push_back(ladder_json(ladder));
  root["comparisons"] = Json::array();
  for (const Comparison& comparison : report.comparisons) {
    root["comparisons"].push_back(comparison_json(comparison));
  }
  root["conclusions"] = sentences(report);
  // What the page's plots and pictures show: points are [x, y, low, high], cells [row, column, weight,
  // needed].
  root["plots"] = Json::array();
  for (const Plot& plot : plots(report)) root["plots"].push_back(json(plot));
  root["pictures"] = Json::array();
  for (const HeatMap& map : report.pictures) root["pictures"].push_back(json(map));
  root["refused"] = Json::array();
  for (const data::ItemFile::Refused& item : report.refused) {
    root["refused"].push_back({{"id", item.id}, {"reason", item.reason}});
  }
  return root;
}

}  // namespace giantrabbit::eval
