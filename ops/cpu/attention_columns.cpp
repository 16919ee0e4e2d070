// Columns of a block of queries. In and out: attention_columns.h.
#include "ops/cpu/attention_columns.h"

namespace giantrabbit::ops::cpu {

void BlockColumns::find(int64_t batch, int64_t head, Range queries) {
  visible_.clear();
  for (int64_t query = queries.begin; query < queries.end; ++query) {
    visible_.push_back(rules_.range(batch, query));
  }
  find_runs(batch, head, queries);
  for (Range& range : visible_) {
    range = range.empty() ? Range{} : Range{columns_before(range.begin), columns_before(range.end)};
  }
  find_strips();
}

void BlockColumns::find_runs(int64_t batch, int64_t head, Range queries) {
  runs_.clear();
  Range keys{};
  for (const Range& range : visible_) {
    if (range.empty()) continue;
    keys = keys.empty() ? range : Range{std::min(keys.begin, range.begin), std::max(keys.end, range.end)};
  }
  if (keys.empty()) return;
  const Range groups{keys.begin / kColumnPadding, (keys.end + kColumnPadding - 1) / kColumnPadding};
  if (!rules_.has_lists()) {
    runs_.push_back({groups.begin * kColumnPadding, {0, (groups.end - groups.begin) * kColumnPadding}});
    return;
  }
  listed_.assign(static_cast<size_t>(groups.end - groups.begin), 0);
  for (int64_t query = queries.begin; query < queries.end;
       query = (query / rules_.list_rows() + 1) * rules_.list_rows()) {
    rules_.for_each_listed(batch, head, query, keys, [&](Range listed) {
      std::fill(listed_.begin() + (listed.begin / kColumnPadding - groups.begin),
                listed_.begin() + ((listed.end - 1) / kColumnPadding + 1 - groups.begin), 1);
    });
  }
  int64_t column = 0;
  for (int64_t group = groups.begin; group < groups.end; ++group) {
    if (listed_[static_cast<size_t>(group - groups.begin)] == 0) continue;
    const bool goes_on = column > 0 && listed_[static_cast<size_t>(group - groups.begin - 1)] != 0;
    if (!goes_on) runs_.push_back({group * kColumnPadding, {column, column}});
    runs_.back().columns.end = column += kColumnPadding;
  }
}

// How many columns belong to keys before `key`.
int64_t BlockColumns::columns_before(int64_t key) const {
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), key,
                                      [](int64_t wanted, const KeyRun& run) { return wanted < run.key; });
  if (after == runs_.begin()) return 0;
  const KeyRun& run = *(after - 1);
  return std::min(run.columns.begin + key - run.key, run.columns.end);
}

void BlockColumns::find_strips() {
  constexpr int64_t kStripRows = 24;  // whole tiles of matrix_product
  const auto rows = static_cast<int64_t>(visible_.size());
  strips_.clear();
  cuts_.clear();
  for (int64_t begin = 0; begin < rows; begin += kStripRows) {
    Strip strip{{begin, std::min(begin + kStripRows, rows)}, {}};
    for (int64_t i = strip.rows.begin; i < strip.rows.end; ++i) {
      const Range range = visible(i);
      if (range.empty()) continue;
      Range& columns = strip.columns;
      columns = columns.empty()
                    ? range
                    : Range{std::min(columns.begin, range.begin), std::max(columns.end, range.end)};
    }
    strip.columns = {strip.columns.begin / kColumnPadding * kColumnPadding,
                     padded_columns(strip.columns.end)};
    const bool same = !strips_.empty() && strips_.back().columns.begin == strip.columns.begin &&
                      strips_.back().columns.end == strip.columns.end;
    if (same) {
      strips_.back().rows.end = strip.rows.end;
    } else {
      strips_.push_back(strip);
    }
  }
  for (const Strip& strip : strips_) {
    if (!strip.columns.empty()) cuts_.insert(cuts_.end(), {strip.columns.begin, strip.columns.end});
  }
  std::sort(cuts_.begin(), cuts_.end());
  cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
}

}  // namespace giantrabbit::ops::cpu
