// Sets of keys against sets of places, one written word at a time; see need_match.h. The needed keys of a
// word are found once per key set: all self-attentions of a decoder have the same keys, all cross-attentions
// too.
#include "eval/need_match.h"

#include <algorithm>

#include "eval/attention_places.h"

namespace giantrabbit::eval {
namespace {

// Chance that a random choice of `drawn` among `visible` keys hits at least one of `wanted` of them.
double hit_chance(int64_t wanted, int64_t visible, int64_t drawn) {
  double miss = 1;
  for (int64_t index = 0; index < wanted; ++index) {
    const int64_t left = visible - drawn - index;
    miss *= left <= 0 ? 0 : static_cast<double>(left) / static_cast<double>(visible - index);
  }
  return 1 - miss;
}

using Flags = std::vector<char>;  // per key

// One decoder attention of a trace.
struct Attention {
  std::string layer;
  bool self = false;
  SupportView view;
  AttentionPlaces places;
  int64_t first_query = 0;  // the one that writes the output's first word
};

// The keys that one query sees and those of them that stand for its needs.
class Target {
 public:
  Target(const Attention& attention, const WordNeed& need, int64_t query)
      : visible_(attention.view.visible(query)), needed_(attention.places.keys.size(), 0) {
    const int64_t end = attention.self ? query + 1 : visible_;
    for (const Place& place : need.values) values_.push_back(keys_of(attention, place, end - visible_, end));
    for (const Place& place : need.header) header_.push_back(keys_of(attention, place, end - visible_, end));
    for (const std::vector<Wanted>* list : {&values_, &header_}) {
      for (const Wanted& wanted : *list) {
        for (const int64_t key : wanted.keys) needed_[static_cast<size_t>(key)] = 1;
      }
    }
  }

  struct Wanted {
    bool possible = false;      // this attention has keys of such words at all
    std::vector<int64_t> keys;  // seen keys that stand for the word
  };
  const std::vector<Wanted>& values() const { return values_; }
  const std::vector<Wanted>& header() const { return header_; }
  bool needs(int64_t key) const { return needed_[static_cast<size_t>(key)] != 0; }
  int64_t needed() const { return std::ranges::count(needed_, 1); }
  int64_t visible() const { return visible_; }

 private:
  static Wanted keys_of(const Attention& attention, const Place& place, int64_t begin, int64_t end) {
    Wanted wanted;
    wanted.possible = std::ranges::any_of(attention.places.keys, [&](const std::optional<Place>& key) {
      return key && key->in_prompt == place.in_prompt;
    });
    for (int64_t key = begin; key < end; ++key) {
      if (attention.places.keys[static_cast<size_t>(key)] == place) wanted.keys.push_back(key);
    }
    return wanted;
  }

  int64_t visible_;
  std::vector<Wanted> values_, header_;
  Flags needed_;
};

Hits hit(const Target::Wanted& wanted, const Flags& chosen, int64_t visible, int64_t drawn) {
  if (!wanted.possible) return {};
  const bool found =
      std::ranges::any_of(wanted.keys, [&](int64_t key) { return chosen[static_cast<size_t>(key)] != 0; });
  return {1, found ? 1.0 : 0.0, hit_chance(std::ssize(wanted.keys), visible, drawn)};
}

Hits hits_of(const std::vector<Target::Wanted>& list, const Flags& chosen, int64_t visible, int64_t drawn) {
  Hits hits;
  for (const Target::Wanted& wanted : list) hits.add(hit(wanted, chosen, visible, drawn));
  return hits;
}

// The same word looked for in two sets of keys: chance has to miss both.
Hits either(const Hits& a, const Hits& b) {
  return {std::max(a.total, b.total), std::max(a.found, b.found), 1 - (1 - a.chance) * (1 - b.chance)};
}

Match match_set(const Target& target, const Flags& chosen) {
  const int64_t drawn = std::ranges::count(chosen, 1);
  Match match;
  match.words = 1;
  match.keys = static_cast<double>(drawn);
  match.visible = static_cast<double>(target.visible());
  match.values = hits_of(target.values(), chosen, target.visible(), drawn);
  match.header = hits_of(target.header(), chosen, target.visible(), drawn);
  match.support.total = match.keys;
  for (size_t key = 0; key < chosen.size(); ++key) {
    match.support.found += chosen[key] && target.needs(static_cast<int64_t>(key)) ? 1 : 0;
  }
  match.support.chance = match.keys * static_cast<double>(target.needed()) / match.visible;
  return match;
}

Hits match_weight(const Target& target, const std::vector<SupportView::Key>& keys) {
  Hits hits;
  for (const SupportView::Key& key : keys) {
    hits.total += key.weight;
    if (target.needs(key.index)) hits.found += key.weight;
  }
  hits.chance = hits.total * static_cast<double>(target.needed()) / static_cast<double>(target.visible());
  return hits;
}

void mark(Flags& flags, const Flags& more) {
  if (flags.empty()) flags.resize(more.size());
  for (size_t key = 0; key < more.size(); ++key) flags[key] |= more[key];
}

std::vector<Attention> decoder_attentions(const model::ModelConfig& config, const model::Trace& trace,
                                          int64_t prompt_words, int64_t output_words) {
  const PlaceMap map(config, trace, prompt_words, output_words);
  std::vector<Attention> attentions;
  for (const model::AttentionRecord& record : trace.attentions) {
    if (!record.name.starts_with("decoder.")) continue;
    attentions.push_back({record.name, record.name.ends_with(".self"), SupportView(record), map.of(record),
                          config.encoder ? 0 : prompt_words + config.pause_tokens});
  }
  return attentions;
}

// Adds one written word to the rows.
class WordMatcher {
 public:
  WordMatcher(const std::vector<Attention>& attentions, double mass) : attentions_(attentions), mass_(mass) {
    for (const Attention& attention : attentions) {
      for (int64_t head = 0; head < attention.view.heads(); ++head) {
        rows_.push_back({attention.layer, std::to_string(head), {}});
      }
      rows_.push_back({attention.layer, "any", {}});
    }
    rows_.push_back({"decoder", "mean", {}});
    rows_.push_back({"decoder", "any", {}});
  }

  void add(int64_t word, const WordNeed& need) {
    size_t row = 0;
    Decoder decoder;
    for (const Attention& attention : attentions_) {
      const int64_t query = attention.first_query + word;
      const Target target(attention, need, query);
      Flags in_layer(attention.places.keys.size());
      Hits layer_weight;
      for (int64_t head = 0; head < attention.view.heads(); ++head) {
        Flags chosen(attention.places.keys.size());
        for (const auto& key : attention.view.heaviest(head, query, mass_))
          chosen[static_cast<size_t>(key.index)] = 1;
        Match match = match_set(target, chosen);
        match.weight = match_weight(target, attention.view.keys(head, query));
        layer_weight.add(match.weight);
        mark(in_layer, chosen);
        rows_[row++].match.add(match);
        rows_[rows_.size() - 2].match.add(match);
      }
      Match any = match_set(target, in_layer);
      any.weight = layer_weight;
      rows_[row++].match.add(any);
      decoder.add(attention, target, in_layer);
    }
    rows_.back().match.add(decoder.match());
  }

  std::vector<MatchRow> take() { return std::move(rows_); }

 private:
  // The union over all layers: of self-attentions and of cross-attentions apart, since their keys differ.
  class Decoder {
   public:
    void add(const Attention& attention, const Target& target, const Flags& chosen) {
      Part& part = attention.self ? self_ : cross_;
      mark(part.chosen, chosen);
      part.target = target;
    }
    Match match() const {
      Match sum;
      for (const Part* part : {&self_, &cross_}) {
        if (part->target) sum.add(match_set(*part->target, part->chosen));
      }
      sum.words = 1;
      if (self_.target && cross_.target) {
        sum.values = combine(self_.target->values(), cross_.target->values());
        sum.header = combine(self_.target->header(), cross_.target->header());
      }
      return sum;
    }

   private:
    struct Part {
      Flags chosen;
      std::optional<Target> target;
      Hits look_for(const Target::Wanted& wanted) const {
        return hit(wanted, chosen, target->visible(), std::ranges::count(chosen, 1));
      }
    };
    Hits combine(const std::vector<Target::Wanted>& written, const std::vector<Target::Wanted>& read) const {
      Hits hits;
      for (size_t place = 0; place < written.size(); ++place) {
        hits.add(either(self_.look_for(written[place]), cross_.look_for(read[place])));
      }
      return hits;
    }
    Part self_, cross_;
  };

  const std::vector<Attention>& attentions_;
  double mass_;
  std::vector<MatchRow> rows_;
};

}  // namespace

void Hits::add(const Hits& other) {
  total += other.total;
  found += other.found;
  chance += other.chance;
}

void Match::add(const Match& other) {
  values.add(other.values);
  header.add(other.header);
  support.add(other.support);
  weight.add(other.weight);
  words += other.words;
  keys += other.keys;
  visible += other.visible;
}

std::vector<MatchRow> match_needs(const model::ModelConfig& config, const model::Trace& trace,
                                  int64_t prompt_words, const std::vector<WordNeed>& needs, double mass,
                                  size_t begin, size_t end) {
  const std::vector<Attention> attentions =
      decoder_attentions(config, trace, prompt_words, std::ssize(needs));
  WordMatcher matcher(attentions, mass);
  for (size_t word = begin; word < end; ++word) {
    if (needs[word].is_defined()) matcher.add(static_cast<int64_t>(word), needs[word]);
  }
  return matcher.take();
}

}  // namespace giantrabbit::eval
