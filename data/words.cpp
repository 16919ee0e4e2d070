// In: words of a prompt or of a model's output. Out: values, rows and parts. Kept invariant: nothing but
// complete, well-formed values inside the vocabulary's range is ever returned, whatever the words are.
#include "data/words.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/format.h>

#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

// Only the way the vocabulary writes a whole number: no plus sign, no leading zero, no "-0".
std::optional<int64_t> read_whole(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return std::nullopt;
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  if (value < -max_whole || value > max_whole) return std::nullopt;
  return value;
}

std::optional<int64_t> read_denominator(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  const auto value = read_whole(text.substr(1));
  if (!value || *value < 2 || *value > max_denominator) return std::nullopt;
  return value;
}

}  // namespace

void append_values(Words& words, std::span<const Rational> values) {
  for (const Rational& value : values) append_value(words, value);
}

void append_rows(Words& words, const Matrix& matrix) {
  for (int i = 0; i < matrix.rows(); ++i) {
    append_values(words, matrix.row(i));
    words.emplace_back(";");
  }
}

bool WordReader::take(std::string_view word) {
  if (done() || words_[position_] != word) return false;
  ++position_;
  return true;
}

std::optional<Rational> WordReader::value() {
  if (done()) return std::nullopt;
  const auto whole = read_whole(words_[position_]);
  if (!whole) return std::nullopt;
  ++position_;
  if (done()) return Rational(*whole);
  const auto denominator = read_denominator(words_[position_]);
  if (!denominator) return Rational(*whole);
  ++position_;
  return Rational(*whole, *denominator);
}

std::optional<Vector> WordReader::values(size_t count) {
  const size_t start = position_;
  Vector result;
  result.reserve(count);
  while (result.size() < count) {
    const auto next = value();
    if (!next) {
      position_ = start;
      return std::nullopt;
    }
    result.push_back(*next);
  }
  return result;
}

std::optional<int> WordReader::row(int rows) {
  if (done() || !words_[position_].starts_with('R')) return std::nullopt;
  const auto number = read_whole(std::string_view(words_[position_]).substr(1));
  if (!number || *number < 1 || *number > rows) return std::nullopt;
  ++position_;
  return static_cast<int>(*number) - 1;
}

std::optional<Matrix> read_rows(std::span<const std::string> words) {
  WordReader reader(words);
  std::vector<Vector> rows;
  while (!reader.done()) {
    Vector row;
    while (const auto value = reader.value()) row.push_back(*value);
    if (!reader.take(";") || row.empty()) return std::nullopt;
    if (!rows.empty() && row.size() != rows[0].size()) return std::nullopt;
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return std::nullopt;
  return Matrix::from_rows(rows);
}

Matrix read_prompt_matrix(const Words& prompt, int most_rows, int most_columns) {
  const std::string name = prompt.empty() ? "" : prompt[0];
  const std::span<const std::string> body = std::span(prompt).subspan(std::min<size_t>(1, prompt.size()));
  WordReader reader(body);
  std::vector<Vector> rows;
  while (!reader.done()) {
    Vector row;
    while (const auto value = reader.value()) row.push_back(*value);
    if (!reader.take(";")) {
      throw ProblemError(reader.done()
                             ? fmt::format("{}: row {} does not end with \";\"", name, rows.size() + 1)
                             : fmt::format("{}: expected a value or \";\" in row {}, got \"{}\"", name,
                                           rows.size() + 1, body[reader.position()]));
    }
    if (row.empty()) throw ProblemError(fmt::format("{}: row {} is empty", name, rows.size() + 1));
    if (!rows.empty() && row.size() != rows[0].size()) {
      throw ProblemError(fmt::format("{}: row {} has {} entries, row 1 has {}", name, rows.size() + 1,
                                     row.size(), rows[0].size()));
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty()) throw ProblemError(fmt::format("{}: expected rows of a matrix, got nothing", name));
  if (static_cast<int>(rows.size()) > most_rows || static_cast<int>(rows[0].size()) > most_columns) {
    throw ProblemError(fmt::format("{}: expected at most {} rows and {} columns, got {}x{}", name, most_rows,
                                   most_columns, rows.size(), rows[0].size()));
  }
  return Matrix::from_rows(rows);
}

OutputParts split_output(std::span<const std::string> output) {
  OutputParts parts;
  const auto end = std::find(output.begin(), output.end(), "EOS");
  parts.finished = end != output.end();
  const auto answer = std::find(output.begin(), end, "ANS");
  parts.has_answer = answer != end;
  parts.chain_words = static_cast<int>(answer - output.begin());
  if (parts.has_answer) parts.answer = std::span<const std::string>(answer + 1, end);
  OutputParts::Line line;
  for (int i = 0; i < parts.chain_words; ++i) {
    line.end = i + 1;
    line.closed = output[static_cast<size_t>(i)] == "NL";
    if (!line.closed && i + 1 < parts.chain_words) continue;
    parts.lines.push_back(line);
    line.begin = i + 1;
  }
  return parts;
}

}  // namespace giantrabbit::data
