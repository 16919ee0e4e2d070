// How well an attention's support tells what a step needed: supports of decoder attentions held against
// eval/need.h. Measured on forced outputs, so that compared runs see the same words.
//
// Support of a head = the heaviest keys that hold `mass` of its weight (the same rule for every normaliser,
// so dense and sparse can be compared). A word is found when any key that stands for it is in the support:
// its encoded state or its thought. Chance = what a uniformly random support of the same size among the keys
// the query sees would find, computed exactly (hypergeometric). An attention is held against those needed
// words that its keys can stand for: self-attention against written words, cross-attention against the
// prompt's.
#pragma once

#include <string>
#include <vector>

#include "data/problem.h"
#include "eval/need.h"
#include "eval/statistics.h"
#include "model/config.h"
#include "model/trace.h"

namespace giantrabbit::eval {

inline constexpr double default_support_mass = 0.99;

// A count out of another one, and what chance would make of it.
struct Hits {
  double total = 0;
  double found = 0;
  double chance = 0;
  void add(const Hits& other);
};

// One attention (or union of several) over some written words.
struct Match {
  Hits values;   // needed words that hold values; found = in the support (recall)
  Hits header;   // needed words of the line's header
  Hits support;  // keys in the support; found = they stand for a needed word (precision)
  Hits weight;   // weight of the head; found = on needed words
  double words = 0;
  double keys = 0;     // support size, summed over words
  double visible = 0;  // keys seen, summed over words
  void add(const Match& other);
};

// The rows of a result: every head of every decoder attention, "any" head of each, and two for the decoder.
struct MatchRow {
  std::string layer;  // "decoder.1.cross"; "decoder" for the last two
  std::string head;   // "0", .., "any" (union of supports), "mean" (over all heads)
  Match match;
};
// All written words of [begin, end) whose need is defined.
std::vector<MatchRow> match_needs(const model::ModelConfig& config, const model::Trace& trace,
                                  int64_t prompt_words, const std::vector<WordNeed>& needs, double mass,
                                  size_t begin, size_t end);

// Shares of one kind over problems: means of each problem's share, and bootstrap intervals over problems.
struct Recovered {
  double found = 0;
  double chance = 0;
  Interval interval{0, 0};               // of found
  double excess = 0;                     // found - chance
  Interval excess_interval = unbounded;  // 95%; single heads are not tested
  Test excess_test;                      // of "excess is 0", sign_flip over problems
  std::vector<double> items;             // found, per problem; NaN where nothing was needed
};

struct NeedRow {
  std::string layer;
  std::string head;
  Recovered values, header, support, weight;
  double keys = 0;  // mean per written word
  double visible = 0;
};

struct NeedSummary {
  double mass = default_support_mass;
  int64_t items = 0;  // problems with a defined need
  int64_t words = 0;  // written words with a defined need
  std::vector<NeedRow> rows;
  const NeedRow* find(std::string_view layer, std::string_view head) const;  // null when it is not there
};

class NeedCounter {
 public:
  explicit NeedCounter(double mass) : mass_(mass) {}
  // One problem; `output` was forced through the network, `trace` is what it recorded.
  void add(const model::ModelConfig& config, const model::Trace& trace, const data::Words& prompt,
           const data::Words& output, data::ChainFormat format);
  NeedSummary result() const;

 private:
  double mass_;
  std::vector<std::vector<MatchRow>> items_;
};

}  // namespace giantrabbit::eval
