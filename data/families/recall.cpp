// RECALL: pairs of key and value, then keys; asked for are their values (associative recall with several
// queries). No chain:
//   RECALL -3 7 -9 2 ; : -9 -3 ;   ANS 2 7 ; EOS
// Kept invariant: all keys differ, every query is one of them.
#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/families/lists.h"
#include "data/json_values.h"

namespace giantrabbit::data {
namespace {

constexpr int most_keys = 60;  // generated keys are -60 .. -1, values 1 .. 60
constexpr size_t most_queries = 8;

struct Store {
  Numbers pairs;  // key, value, key, value, ..
  Numbers queries;
};

class Recall final : public ChainFamily {
 public:
  Recall(int least, int most) : least_(least), most_(most) {}

  std::string_view name() const override { return "RECALL"; }
  std::string_view summary() const override {
    return "given pairs of key and value, then keys, asks for the values of these keys";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"RECALL"}};
    return words;
  }

  Problem generate(CounterRng& rng) const override {
    const auto count = static_cast<size_t>(rng.uniform(least_, most_));
    Numbers keys(most_keys);
    std::iota(keys.begin(), keys.end(), -most_keys);
    draw_front(rng, keys, count);
    Store store;
    for (const int key : keys) {
      store.pairs.push_back(key);
      store.pairs.push_back(static_cast<int>(rng.uniform(1, most_keys)));
    }
    draw_front(rng, keys, std::min(most_queries, count));
    store.queries = keys;
    return {"", write(store)};
  }

  // {"pairs": [[key, value], ..], "queries": [key, ..]}
  Problem from_json(const nlohmann::json& given) const override {
    Store store{{}, json_numbers(given, "queries")};
    for (const auto& pair : json_field(given, "pairs")) {
      const Numbers numbers = json_numbers({{"pairs", pair}}, "pairs");
      if (numbers.size() != 2)
        throw ProblemError(fmt::format("given.pairs: expected [key, value], got {}", pair.dump()));
      store.pairs.insert(store.pairs.end(), numbers.begin(), numbers.end());
    }
    return checked(write(store));
  }

  Words solve(const Words& prompt, ChainFormat) const override {
    Words words = {"ANS"};
    append_list(words, values(read(prompt)));
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    const Store store = read(prompt);
    return fmt::format("{}|{}|{}", name(), numbers_text(store.pairs), numbers_text(store.queries));
  }

  std::string stratum(const Words& prompt) const override { return length_group(read(prompt).pairs.size()); }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words&, ChainFormat) const override {
    return std::make_unique<NoChain>();
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto numbers = read_list(answer);
    if (!numbers) return std::nullopt;
    return *numbers == values(read(prompt));
  }

 private:
  // `count` of the numbers in random order, the rest left out.
  static void draw_front(CounterRng& rng, Numbers& numbers, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const auto other = rng.uniform(static_cast<int64_t>(i), std::ssize(numbers) - 1);
      std::swap(numbers[i], numbers[static_cast<size_t>(other)]);
    }
    numbers.resize(count);
  }

  static Numbers values(const Store& store) {
    std::map<int, int> known;
    for (size_t i = 0; i < store.pairs.size(); i += 2) known[store.pairs[i]] = store.pairs[i + 1];
    Numbers found;
    for (const int query : store.queries) found.push_back(known.at(query));
    return found;
  }

  Words write(const Store& store) const {
    Words prompt = {std::string(name())};
    append_list(prompt, store.pairs);
    prompt.emplace_back(":");
    append_list(prompt, store.queries);
    return prompt;
  }

  Store read(const Words& prompt) const {
    const auto colon = std::find(prompt.begin(), prompt.end(), ":");
    const bool parts = !prompt.empty() && prompt.front() == name() && colon != prompt.end();
    const auto pairs = parts ? read_list(std::span(prompt.begin() + 1, colon)) : std::nullopt;
    const auto queries = parts ? read_list(std::span(colon + 1, prompt.end())) : std::nullopt;
    if (!pairs || !queries || pairs->size() % 2 != 0) {
      throw ProblemError(
          fmt::format("{}: expected pairs, \":\" and keys (\"{} -3 7 -9 2 ; : -9 ;\"), got \"{}\"", name(),
                      name(), join_words(prompt)));
    }
    std::map<int, int> count;
    for (size_t i = 0; i < pairs->size(); i += 2) {
      if (++count[(*pairs)[i]] > 1)
        throw ProblemError(fmt::format("{}: the key {} has two values", name(), (*pairs)[i]));
    }
    for (const int query : *queries) {
      if (!count.contains(query))
        throw ProblemError(fmt::format("{}: the key {} has no value", name(), query));
    }
    return {*pairs, *queries};
  }

  int least_;
  int most_;
};

}  // namespace

std::vector<FamilyTask> recall_tasks() {
  std::vector<FamilyTask> tasks = {{"recall", std::make_shared<Recall>(4, 16)}};
  for (const int pairs : {16, 32, 60}) {
    tasks.push_back({fmt::format("recall-{}", pairs), std::make_shared<Recall>(pairs, pairs)});
  }
  return tasks;
}

}  // namespace giantrabbit::data
