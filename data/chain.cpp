// In: operations, or the words of a model's chain. Out: words, or a verdict per line. Kept invariant: the
// reader's state is always what the model wrote, inside the vocabulary's range, so exact arithmetic on it
// cannot overflow.
#include "data/chain.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

// Looking further back would make long garbage quadratic in its length.
constexpr size_t remembered_versions = 16;

std::string row_name(int row) { return fmt::format("R{}", row + 1); }

std::string difference(const Operation& operation, const char* what, size_t column, const Rational& expected,
                       const Rational& written) {
  return fmt::format("{} column {}: {} should be {}, written {}", row_name(operation.target), column + 1,
                     what, expected.text(), written.text());
}

}  // namespace

void append_operation(Words& words, const Operation& operation, Matrix& state, ChainFormat format,
                      const Field& field) {
  const bool subtract = operation.kind == Operation::Kind::subtract;
  const bool swap = operation.kind == Operation::Kind::swap;
  words.emplace_back(subtract ? "SUB" : swap ? "SW" : "DIV");
  words.push_back(row_name(operation.target));
  if (subtract || swap) words.push_back(row_name(operation.source));
  if (!swap) append_value(words, operation.factor);
  words.emplace_back(":");
  const Vector source = subtract ? state.row(operation.source) : Vector{};
  apply(operation, state, field);
  for (int column = 0; !swap && column < state.columns(); ++column) {
    if (subtract && format == ChainFormat::prod) {
      append_value(words, field.multiply(operation.factor, source[static_cast<size_t>(column)]));
    }
    append_value(words, state(operation.target, column));
  }
  words.emplace_back("NL");
}

void append_chain(Words& words, const Matrix& start, std::span<const Operation> operations,
                  ChainFormat format, const Field& field) {
  if (format == ChainFormat::answer_only) return;
  Matrix state = start;
  for (const Operation& operation : operations) append_operation(words, operation, state, format, field);
}

ChainSurvey survey_chain(const Matrix& start, std::span<const Operation> operations) {
  ChainSurvey survey;
  bool subtract = false;
  const auto meet = [&](const Rational& value) {
    if (!survey.outside && !in_range(value)) survey.outside = value;
    survey.largest = std::max(survey.largest, value.numerator() < 0 ? -value.numerator() : value.numerator());
    if (value.is_integer()) return;
    survey.fraction = true;
    survey.subtract_fraction = survey.subtract_fraction || subtract;
  };
  for (int i = 0; i < start.rows(); ++i) {
    for (int j = 0; j < start.columns(); ++j) meet(start(i, j));
  }
  Matrix state = start;
  for (const Operation& operation : operations) {
    if (survey.outside) break;
    subtract = operation.kind == Operation::Kind::subtract;
    if (operation.kind != Operation::Kind::swap) meet(operation.factor);
    for (int j = 0; subtract && j < state.columns(); ++j) meet(operation.factor * state(operation.source, j));
    apply(operation, state);
    for (int j = 0; j < state.columns(); ++j) meet(state(operation.target, j));
  }
  return survey;
}

ChainReader::ChainReader(Matrix start, ChainFormat format, const Field& field)
    : state_(std::move(start)), format_(format), field_(field) {
  for (int row = 0; row < state_.rows(); ++row) versions_.push_back({state_.row(row)});
}

StepVerdict ChainReader::read(std::span<const std::string> output, const OutputParts::Line& line) {
  StepVerdict verdict;
  const auto words = line_words(output, line, format_, verdict);
  if (!words) return verdict;
  const auto written = parse(*words, verdict.reason);
  if (!written) {
    verdict.error = ErrorClass::format;
    return verdict;
  }
  compare(*written, verdict);
  advance(*written);
  return verdict;
}

std::optional<ChainReader::Written> ChainReader::parse(std::span<const std::string> words,
                                                       std::string& reason) const {
  WordReader reader(words);
  Written written;
  Operation& operation = written.operation;
  if (reader.take("SUB")) {
    operation.kind = Operation::Kind::subtract;
  } else if (reader.take("DIV")) {
    operation.kind = Operation::Kind::divide;
  } else if (reader.take("SW")) {
    operation.kind = Operation::Kind::swap;
  } else {
    reason = "the line does not begin with SUB, DIV or SW";
    return std::nullopt;
  }
  const bool divide = operation.kind == Operation::Kind::divide;
  const bool swap = operation.kind == Operation::Kind::swap;
  const auto target = reader.row(state_.rows());
  const auto source = divide ? target : reader.row(state_.rows());
  const auto factor = swap ? std::optional<Rational>(0) : reader.value();
  if (!target || !source || !factor || !reader.take(":")) {
    reason = fmt::format("the operation is not readable (rows R1..R{}, a factor, ':')", state_.rows());
    return std::nullopt;
  }
  operation = {operation.kind, *target, divide ? 0 : *source, *factor};
  if (!divide && *target == *source) {
    reason = fmt::format("{} cannot be combined with itself", row_name(*target));
    return std::nullopt;
  }
  if (divide && factor->is_zero()) {
    reason = "a row cannot be divided by 0";
    return std::nullopt;
  }
  if (!field_.contains(*factor)) {
    reason = fmt::format("the factor {} is not in {}", factor->text(), field_.name());
    return std::nullopt;
  }
  if (!swap && !read_columns(reader, written, reason)) return std::nullopt;
  if (!reader.done()) {
    reason = fmt::format("\"{}\" is too much", words[reader.position()]);
    return std::nullopt;
  }
  return written;
}

bool ChainReader::read_columns(WordReader& reader, Written& written, std::string& reason) const {
  const bool products = written.operation.kind == Operation::Kind::subtract && format_ == ChainFormat::prod;
  for (int column = 0; column < state_.columns(); ++column) {
    const auto values = reader.values(products ? 2 : 1);
    if (!values) {
      reason = fmt::format("column {} is missing or not readable", column + 1);
      return false;
    }
    for (const Rational& value : *values) {
      if (field_.contains(value)) continue;
      reason = fmt::format("column {}: {} is not in {}", column + 1, value.text(), field_.name());
      return false;
    }
    if (products) written.products.push_back(values->front());
    written.entries.push_back(values->back());
  }
  return true;
}

Rational ChainReader::new_entry(const Operation& operation, const Rational& target,
                                const Rational& source) const {
  return operation.kind == Operation::Kind::divide
             ? field_.divide(target, operation.factor)
             : field_.subtract(target, field_.multiply(operation.factor, source));
}

void ChainReader::compare(const Written& written, StepVerdict& verdict) const {
  const Operation& operation = written.operation;
  for (size_t column = 0; column < written.entries.size() && verdict.reason.empty(); ++column) {
    const Rational& source = state_(operation.source, static_cast<int>(column));
    const Rational product = field_.multiply(operation.factor, source);
    if (!written.products.empty() && written.products[column] != product) {
      verdict.reason = difference(operation, "the product", column, product, written.products[column]);
      break;
    }
    const Rational expected =
        new_entry(operation, state_(operation.target, static_cast<int>(column)), source);
    if (written.entries[column] != expected) {
      verdict.reason = difference(operation, "the entry", column, expected, written.entries[column]);
    }
  }
  verdict.valid = verdict.reason.empty();
  if (!verdict.valid) verdict.error = is_stale(written) ? ErrorClass::stale_row : ErrorClass::arithmetic;
}

// Whether the line is right for some earlier contents of its rows.
bool ChainReader::is_stale(const Written& written) const {
  const Operation& operation = written.operation;
  const bool divide = operation.kind == Operation::Kind::divide;
  const auto explains = [&](const Vector& target, const Vector& source) {
    for (size_t column = 0; column < written.entries.size(); ++column) {
      if (!written.products.empty() &&
          written.products[column] != field_.multiply(operation.factor, source[column])) {
        return false;
      }
      if (written.entries[column] != new_entry(operation, target[column], source[column])) return false;
    }
    return true;
  };
  const auto& targets = versions_[static_cast<size_t>(operation.target)];
  const auto& sources = versions_[static_cast<size_t>(divide ? operation.target : operation.source)];
  return std::any_of(targets.begin(), targets.end(), [&](const Vector& target) {
    if (divide) return explains(target, target);
    return std::any_of(sources.begin(), sources.end(),
                       [&](const Vector& source) { return explains(target, source); });
  });
}

void ChainReader::advance(const Written& written) {
  const Operation& operation = written.operation;
  if (operation.kind == Operation::Kind::swap) {
    apply(operation, state_);
    remember(operation.source);
  }
  for (size_t column = 0; column < written.entries.size(); ++column) {
    state_(operation.target, static_cast<int>(column)) = written.entries[column];
  }
  remember(operation.target);
}

void ChainReader::remember(int row) {
  auto& versions = versions_[static_cast<size_t>(row)];
  versions.push_back(state_.row(row));
  if (versions.size() > remembered_versions) versions.erase(versions.begin());
}

}  // namespace giantrabbit::data
