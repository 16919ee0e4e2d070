// Grouping and pairing; see variant.h.
#include "eval/variant.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

// The last `depth` parts of a directory.
std::string last_parts(const std::filesystem::path& directory, std::ptrdiff_t depth) {
  std::filesystem::path last;
  for (auto part = std::prev(directory.end(), depth); part != directory.end(); ++part) last /= *part;
  return last.string();
}

// "sparse-seed1" and "sparse-seed2" -> "sparse", "sparse-1@window=8" and "sparse-2@window=8" ->
// "sparse@window=8"; empty when they share no beginning.
std::string common_label(const Variant& variant, std::span<const RunIdentity> runs) {
  std::string label = runs[variant.runs.front()].label;
  if (variant.runs.size() == 1) return label;
  const std::string changes = label.substr(std::min(label.find('@'), label.size()));
  label.resize(label.size() - changes.size());
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
  return label.empty() ? label : label + changes;
}

void name_variants(std::vector<Variant>& variants, std::span<const RunIdentity> runs) {
  std::vector<std::string> labels;
  for (const Variant& variant : variants) labels.push_back(common_label(variant, runs));
  for (size_t index = 0; index < variants.size(); ++index) {
    const std::string& label = labels[index];
    const bool of_another_run =
        variants[index].runs.size() > 1 && std::ranges::count(runs, label, &RunIdentity::label) > 0;
    const bool usable = !label.empty() && std::ranges::count(labels, label) == 1 && !of_another_run;
    variants[index].label = usable ? labels[index] : runs[variants[index].runs.front()].label;
  }
}

}  // namespace

void make_names_distinct(std::span<Run> runs) {
  std::vector<std::filesystem::path> directories;
  std::vector<std::string> names;
  for (const Run& run : runs) directories.push_back(std::filesystem::weakly_canonical(run.directory / "."));
  for (size_t index = 0; index < runs.size(); ++index) {
    const std::filesystem::path& directory = directories[index];
    const auto told_apart = [&](std::ptrdiff_t depth) {
      return std::ranges::all_of(directories, [&](const std::filesystem::path& other) {
        const bool shorter = std::distance(other.begin(), other.end()) < depth;
        return other == directory || shorter || last_parts(other, depth) != last_parts(directory, depth);
      });
    };
    std::ptrdiff_t depth = 1;
    while (!told_apart(depth)) ++depth;
    // A name is the directory's last part and the changes.
    names.push_back(last_parts(directory, depth) + runs[index].name.substr(last_parts(directory, 1).size()));
  }
  for (size_t index = 0; index < runs.size(); ++index) {
    const auto before = std::ranges::count(names.begin(), names.begin() + index, names[index]);
    runs[index].name = before == 0 ? names[index] : fmt::format("{} #{}", names[index], before + 1);
  }
}

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
