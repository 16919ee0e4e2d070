// Which scores of a block of queries exist. In, a mask's rules and a range of queries of one head; out, the
// keys that some query of the block may see as columns without gaps, and for every query its range of those
// columns. Keys are kept in groups of kColumnPadding, so products read and write whole vectors; groups that
// no query may see have no column and cost nothing. Rows that see about the same columns form a strip.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/cpu/attention_problem.h"
#include "ops/cpu/matrix_product.h"

namespace giantrabbit::ops::cpu {

// Neighbouring keys in neighbouring columns. Both begin at a multiple of kColumnPadding; the last run may
// reach past the last key up to the next multiple.
struct KeyRun {
  int64_t key;
  Range columns;
};

// Rows of a block and the columns that they may see, in whole paddings.
struct Strip {
  Range rows;
  Range columns;
};

class BlockColumns {
 public:
  explicit BlockColumns(const MaskRules& rules) : rules_(rules) {}

  void find(int64_t batch, int64_t head, Range queries);

  int64_t count() const { return runs_.empty() ? 0 : runs_.back().columns.end; }
  const std::vector<KeyRun>& runs() const { return runs_; }
  const std::vector<Strip>& strips() const { return strips_; }
  // Columns between the first and the last that row `i` may see by every rule but the lists.
  Range visible(int64_t i) const { return visible_[static_cast<size_t>(i)]; }

  // function(key, part): every part of `columns` that holds neighbouring keys, from `key` on.
  template <class Function>
  void for_each_run(Range columns, const Function& function) const {
    for (const KeyRun& run : runs_) {
      const Range part{std::max(columns.begin, run.columns.begin), std::min(columns.end, run.columns.end)};
      if (!part.empty()) function(run.key + part.begin - run.columns.begin, part);
    }
  }
  // function(rows, columns): all columns, cut where the rows that may see them change. Ranges of keys move in
  // one direction from query to query, so the rows between the first and the last strip that see a column
  // all do.
  template <class Function>
  void for_each_segment(const Function& function) const {
    for (size_t i = 0; i + 1 < cuts_.size(); ++i) {
      Range rows{};
      for (const Strip& strip : strips_) {
        if (strip.columns.begin > cuts_[i] || strip.columns.end < cuts_[i + 1]) continue;
        rows = {rows.empty() ? strip.rows.begin : rows.begin, strip.rows.end};
      }
      if (!rows.empty()) function(rows, Range{cuts_[i], cuts_[i + 1]});
    }
  }
  // function(columns): the columns inside `visible` that the lists permit to the query, in ascending order.
  template <class Function>
  void for_each_listed(int64_t batch, int64_t head, int64_t query, const Function& function) const {
    auto run = runs_.begin();
    rules_.for_each_listed(batch, head, query, rules_.range(batch, query), [&](Range keys) {
      while (keys.begin >= run->key + run->columns.end - run->columns.begin) ++run;
      const int64_t column = run->columns.begin + keys.begin - run->key;
      function(Range{column, column + keys.end - keys.begin});
    });
  }

 private:
  void find_runs(int64_t batch, int64_t head, Range queries);
  void find_strips();
  int64_t columns_before(int64_t key) const;

  const MaskRules& rules_;
  std::vector<KeyRun> runs_;
  std::vector<Strip> strips_;
  std::vector<Range> visible_;  // keys first, then columns
  std::vector<int64_t> cuts_;
  std::vector<char> listed_;  // groups of keys
};

}  // namespace giantrabbit::ops::cpu
