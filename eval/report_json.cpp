// Report -> JSON. Keys keep their meaning between versions; times are in seconds, shares are fractions of 1.
#include "eval/report_json.h"

#include <nlohmann/json.hpp>

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
          {"keys_scored_per_token", cost.keys_scored},
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
  return {{"name", run.name},
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
          {"parameters", run.parameters}};
}

Json comparison_json(const Comparison& comparison) {
  const PairedCounts& pairs = comparison.pairs;
  return {{"first", comparison.first},
          {"second", comparison.second},
          {"pairs",
           {{"both", pairs.both},
            {"only_first", pairs.only_first},
            {"only_second", pairs.only_second},
            {"neither", pairs.neither}}},
          {"difference", comparison.difference},
          {"interval", json(comparison.interval)},
          {"mcnemar", comparison.mcnemar},
          {"non_inferiority",
           {{"margin", non_inferiority_margin},
            {"lower_bound", comparison.keeps.lower_bound},
            {"probability", comparison.keeps.probability},
            {"shown", comparison.keeps.shown}}},
          {"words_on_solved_by_both",
           {{"first", comparison.first_lengths.words},
            {"second", comparison.second_lengths.words},
            {"difference", comparison.words.mean},
            {"interval", json(comparison.words.interval)}}},
          {"conclusions", conclusions(comparison)}};
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
  root["comparisons"] = Json::array();
  for (const Comparison& comparison : report.comparisons) {
    root["comparisons"].push_back(comparison_json(comparison));
  }
  root["refused"] = Json::array();
  for (const data::ItemFile::Refused& item : report.refused) {
    root["refused"].push_back({{"id", item.id}, {"reason", item.reason}});
  }
  return root;
}

}  // namespace giantrabbit::eval
