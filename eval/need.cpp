// Walks an output line by line, keeping for every matrix entry its value and the words that hold it; see
// need.h.
#include "eval/need.h"

#include <algorithm>
#include <array>
#include <optional>

#include "data/matrix.h"
#include "data/words.h"

namespace giantrabbit::eval {
namespace {

constexpr std::array<std::string_view, 5> row_families = {"RREF", "NULL", "COLSP", "BLOCK", "MEMBER"};

struct Entry {
  data::Rational value;
  Places places;
};
using Row = std::vector<Entry>;

Places join(const Places& first, const Places& second) {
  Places all = first;
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

// Values and labels with the places they stand at.
class PlacedReader {
 public:
  PlacedReader(std::span<const std::string> words, bool in_prompt, int64_t first)
      : reader_(words), in_prompt_(in_prompt), first_(first) {}
  bool take(std::string_view word) { return reader_.take(word); }
  bool done() const { return reader_.done(); }
  Place here() const { return {in_prompt_, first_ + static_cast<int64_t>(reader_.position())}; }
  std::optional<int> row(size_t rows) { return reader_.row(static_cast<int>(rows)); }
  std::optional<Entry> entry() {
    const Place begin = here();
    const auto value = reader_.value();
    if (!value) return std::nullopt;
    Entry entry{*value, {}};
    for (Place place = begin; place < here(); ++place.index) entry.places.push_back(place);
    return entry;
  }

 private:
  data::WordReader reader_;
  bool in_prompt_;
  int64_t first_;
};

std::vector<Row> read_matrix(const data::Words& prompt) {
  const std::span<const std::string> values = std::span(prompt).subspan(1);
  PlacedReader reader(values, /*in_prompt=*/true, /*first=*/1);
  std::vector<Row> rows;
  while (!reader.done()) {
    Row row;
    while (auto entry = reader.entry()) row.push_back(std::move(*entry));
    const bool fits = rows.empty() || row.size() == rows.front().size();
    if (row.empty() || !fits || !reader.take(";")) return {};
    rows.push_back(std::move(row));
  }
  return rows;
}

class NeedFinder {
 public:
  NeedFinder(std::vector<Row> rows, std::span<const std::string> output, data::ChainFormat format)
      : rows_(std::move(rows)), output_(output), format_(format), needs_(output.size()) {}

  std::vector<WordNeed> find(bool answer_is_matrix) {
    const data::OutputParts parts = data::split_output(output_);
    for (const data::OutputParts::Line& line : parts.lines) {
      if (!line.closed || !read_line(line)) return std::move(needs_);
    }
    if (answer_is_matrix && parts.has_answer) read_answer(parts);
    return std::move(needs_);
  }

 private:
  void set(const Places& words, const Places& values, const Places& header) {
    for (const Place& word : words) needs_[static_cast<size_t>(word.index)] = {values, header};
  }

  // False when the state is no longer known behind this line.
  bool read_line(const data::OutputParts::Line& line) {
    const auto words =
        output_.subspan(static_cast<size_t>(line.begin), static_cast<size_t>(line.end - line.begin - 1));
    PlacedReader reader(words, /*in_prompt=*/false, line.begin);
    Places header{reader.here()};
    if (reader.take("PIV") || reader.take("FREE")) return true;
    if (reader.take("SW")) return swap(reader);
    const bool divide = reader.take("DIV");
    if (!divide && !reader.take("SUB")) return false;
    header.push_back(reader.here());
    const auto target = reader.row(rows_.size());
    if (!divide) header.push_back(reader.here());
    const auto source = divide ? target : reader.row(rows_.size());
    const auto factor = reader.entry();
    if (!target || !source || !factor || !reader.take(":")) return false;
    explain_factor(*factor, rows_[static_cast<size_t>(*target)], rows_[static_cast<size_t>(*source)], divide,
                   header);
    return read_entries(reader, *factor, static_cast<size_t>(*target), static_cast<size_t>(*source), divide,
                        header);
  }

  bool swap(PlacedReader& reader) {
    const auto first = reader.row(rows_.size());
    const auto second = reader.row(rows_.size());
    if (!first || !second) return false;
    std::swap(rows_[static_cast<size_t>(*first)], rows_[static_cast<size_t>(*second)]);
    return true;
  }

  void explain_factor(const Entry& factor, const Row& target, const Row& source, bool divide,
                      const Places& header) {
    const auto lead = std::ranges::find_if(source, [](const Entry& entry) { return !entry.value.is_zero(); });
    if (lead == source.end()) return;
    const Entry& cleared = target[static_cast<size_t>(lead - source.begin())];
    if (divide && factor.value == lead->value) set(factor.places, lead->places, header);
    if (!divide && factor.value == cleared.value / lead->value) {
      set(factor.places, join(lead->places, cleared.places), header);
    }
  }

  bool read_entries(PlacedReader& reader, const Entry& factor, size_t target, size_t source, bool divide,
                    const Places& header) {
    const bool products = !divide && format_ == data::ChainFormat::prod;
    Row written;
    for (size_t column = 0; column < rows_[target].size(); ++column) {
      const Places& old = rows_[target][column].places;
      const Places scaled = divide ? factor.places : join(factor.places, rows_[source][column].places);
      Places operands = scaled;
      if (products) {
        const auto product = reader.entry();
        if (!product) return false;
        set(product->places, scaled, header);
        operands = product->places;
      }
      auto entry = reader.entry();
      if (!entry) return false;
      set(entry->places, join(operands, old), header);
      written.push_back(std::move(*entry));
    }
    rows_[target] = std::move(written);
    return reader.done();
  }

  void read_answer(const data::OutputParts& parts) {
    PlacedReader reader(parts.answer, /*in_prompt=*/false, parts.chain_words + 1);
    for (const Row& row : rows_) {
      for (const Entry& entry : row) {
        const auto written = reader.entry();
        if (!written) return;
        set(written->places, entry.places, {});
      }
      if (!reader.take(";")) return;
    }
  }

  std::vector<Row> rows_;
  std::span<const std::string> output_;
  data::ChainFormat format_;
  std::vector<WordNeed> needs_;
};

}  // namespace

std::vector<WordNeed> find_needs(const data::Words& prompt, std::span<const std::string> output,
                                 data::ChainFormat format) {
  const bool known = std::ranges::find(row_families, prompt.at(0)) != row_families.end();
  if (!known || format == data::ChainFormat::answer_only) return std::vector<WordNeed>(output.size());
  std::vector<Row> rows = read_matrix(prompt);
  if (rows.empty()) return std::vector<WordNeed>(output.size());
  return NeedFinder(std::move(rows), output, format).find(prompt[0] == "RREF");
}

}  // namespace giantrabbit::eval
