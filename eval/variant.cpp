// Grouping and pairing; see variant.h.
#include "eval/variant.h"

#include <algorithm>

namespace giantrabbit::eval {
namespace {

// "sparse-seed1" and "sparse-seed2" -> "sparse"; empty when they share no beginning.
std::string common_label(const Variant& variant, std::span<const RunIdentity> runs) {
  std::string label = runs[variant.runs.front()].label;
  if (variant.runs.size() == 1) return label;
  for (const size_t run : variant.runs) {
    const std::string& other = runs[run].label;
    label.erase(std::ranges::mismatch(label, other).in1, label.end());
  }
  const auto trim = [&label] {
    const size_t last = label.find_last_not_of("-_. /");
    label.erase(last == std::string::npos ? 0 : last + 1);
  };
  trim();
  if (label.ends_with("seed")) label.erase(label.size() - 4);
  trim();
  return label;
}

void name_variants(std::vector<Variant>& variants, std::span<const RunIdentity> runs) {
  std::vector<std::string> labels;
  for (const Variant& variant : variants) labels.push_back(common_label(variant, runs));
  for (size_t index = 0; index < variants.size(); ++index) {
    const bool usable = !labels[index].empty() && std::ranges::count(labels, labels[index]) == 1;
    variants[index].label = usable ? labels[index] : runs[variants[index].runs.front()].label;
  }
}

}  // namespace

std::vector<Variant> group_runs(std::span<const RunIdentity> runs) {
  std::vector<Variant> variants;
  for (size_t index = 0; index < runs.size(); ++index) {
    const auto takes = [&](const Variant& variant) {
      return runs[variant.runs.front()].configuration == runs[index].configuration &&
             std::ranges::none_of(variant.runs,
                                  [&](size_t run) { return runs[run].seed == runs[index].seed; });
    };
    auto variant = std::ranges::find_if(variants, takes);
    if (variant == variants.end()) variant = variants.insert(variant, Variant{});
    variant->runs.push_back(index);
  }
  for (Variant& variant : variants) {
    std::ranges::stable_sort(variant.runs, {}, [&](size_t run) { return runs[run].seed; });
  }
  name_variants(variants, runs);
  return variants;
}

std::vector<RunPair> pair_by_seed(const Variant& first, const Variant& second,
                                  std::span<const RunIdentity> runs) {
  if (first.runs.size() == 1 && second.runs.size() == 1) return {{first.runs[0], second.runs[0]}};
  std::vector<RunPair> pairs;
  for (const size_t a : first.runs) {
    for (const size_t b : second.runs) {
      if (runs[a].seed == runs[b].seed) pairs.push_back({a, b});
    }
  }
  return pairs;
}

}  // namespace giantrabbit::eval
