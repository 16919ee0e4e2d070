// In: "m n r". Out: the chain "ROW m r : m-r NL COL n r : n-r NL" (delta leaves m, n and r out) and its
// judge. Kept invariant: the chain needs both lines, each exact; the answer is the family's own.
#include "data/families/facts.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/json_values.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

void append_difference(Words& words, std::string_view name, int size, int rank, ChainFormat format) {
  words.emplace_back(name);
  if (format == ChainFormat::prod) {
    append_value(words, size);
    append_value(words, rank);
  }
  words.emplace_back(":");
  append_value(words, size - rank);
  words.emplace_back("NL");
}

class FactJudge final : public ChainJudge {
 public:
  FactJudge(const Sizes& sizes, ChainFormat format) : sizes_(sizes), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    WordReader reader(*words);
    const bool row_line = reader.take("ROW");
    if (!row_line && !reader.take("COL")) {
      refuse(verdict, ErrorClass::format, "the line begins with neither ROW nor COL");
      return verdict;
    }
    const int size = row_line ? sizes_.rows : sizes_.columns;
    const bool operands = format_ == ChainFormat::prod;
    const auto given = reader.values(operands ? 2 : 0);
    const bool colon = given && reader.take(":");
    const auto difference = colon ? reader.value() : std::nullopt;
    if (!difference || !reader.done()) {
      refuse(verdict, ErrorClass::format,
             "the line is not readable (size and rank in prod, ':', difference)");
    } else if (operands && *given != Vector{size, sizes_.rank}) {
      refuse(verdict, ErrorClass::stale_row,
             fmt::format("the prompt says {} and rank {}", size, sizes_.rank));
    } else if (*difference != Rational(size - sizes_.rank)) {
      refuse(verdict, ErrorClass::arithmetic,
             fmt::format("{} - {} should be {}", size, sizes_.rank, size - sizes_.rank));
    } else {
      verdict.valid = true;
      (row_line ? row_said_ : column_said_) = true;
    }
    return verdict;
  }

  bool complete() const override { return row_said_ && column_said_; }

 private:
  Sizes sizes_;
  ChainFormat format_;
  bool row_said_ = false;
  bool column_said_ = false;
};

}  // namespace

Problem FactFamily::from_json(const nlohmann::json& given) const {
  const auto most = static_cast<int>(max_whole);
  return checked(write({json_whole(given, "m", 1, most), json_whole(given, "n", 1, most),
                        json_whole(given, "rank", 0, most)}));
}

Words FactFamily::solve(const Words& prompt, ChainFormat format) const {
  const Sizes sizes = read(prompt);
  Words words;
  if (format != ChainFormat::answer_only) {
    append_difference(words, "ROW", sizes.rows, sizes.rank, format);
    append_difference(words, "COL", sizes.columns, sizes.rank, format);
  }
  words.emplace_back("ANS");
  append_answer(words, sizes);
  words.emplace_back("EOS");
  return words;
}

std::string FactFamily::canonical(const Words& prompt) const {
  const Sizes sizes = read(prompt);
  return fmt::format("FACT|{},{},{}", sizes.rows, sizes.columns, sizes.rank);
}

// Sizes up to 30, so that some stay for validation and test; small ones and square ones often.
Words FactFamily::draw(CounterRng& rng) const {
  const double range = rng.unit();
  const int64_t most = range < .5 ? 6 : range < .8 ? 12 : 30;
  Sizes sizes;
  sizes.rows = static_cast<int>(rng.uniform(1, most));
  sizes.columns = rng.chance(.2) ? sizes.rows : static_cast<int>(rng.uniform(1, most));
  const int full = std::min(sizes.rows, sizes.columns);
  sizes.rank = rng.chance(.55) ? full : static_cast<int>(rng.uniform(0, full));
  return write(sizes);
}

std::unique_ptr<ChainJudge> FactFamily::chain_judge(const Words& prompt, ChainFormat format) const {
  return std::make_unique<FactJudge>(read(prompt), format);
}

Sizes FactFamily::read(const Words& prompt) const {
  WordReader reader(prompt);
  const auto values = reader.take(name()) ? reader.values(3) : std::nullopt;
  if (!values || !reader.take(";") || !reader.done()) {
    throw ProblemError(fmt::format("{}: expected rows, columns and rank (\"{} 3 5 3 ;\"), got \"{}\"", name(),
                                   name(), join_words(prompt)));
  }
  for (const Rational& value : *values) {
    if (!value.is_integer())
      throw ProblemError(fmt::format("{}: expected whole numbers, got {}", name(), value.text()));
  }
  const auto at = [&](size_t index) { return static_cast<int>((*values)[index].numerator()); };
  const Sizes sizes{at(0), at(1), at(2)};
  if (sizes.rows < 1 || sizes.columns < 1) {
    throw ProblemError(fmt::format("{}: expected at least one row and one column, got {}x{}", name(),
                                   sizes.rows, sizes.columns));
  }
  if (sizes.rank < 0 || sizes.rank > std::min(sizes.rows, sizes.columns)) {
    throw ProblemError(fmt::format("{}: expected a rank from 0 to {}, got {}", name(),
                                   std::min(sizes.rows, sizes.columns), sizes.rank));
  }
  return sizes;
}

Words FactFamily::write(const Sizes& sizes) const {
  Words prompt = {std::string(name())};
  append_values(prompt, Vector{sizes.rows, sizes.columns, sizes.rank});
  prompt.emplace_back(";");
  return prompt;
}

}  // namespace giantrabbit::data
