// In: a prompt and a well-formed answer (the words between ANS and EOS). Out: whether it is right, straight
// from the question's definition. Kept invariant: no function of the data room is called.
#include "tests/data/families_oracle.h"

namespace giantrabbit::data::oracle {
namespace {

using Span = std::span<const std::string>;

bool has(Span words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool solution_set(const Rows& given, const Rows& answer) {
  const auto rows = static_cast<size_t>(given[0][0]);
  const Row& particular = given[1];
  if (answer.size() != rows || answer[0].size() != particular.size() + 1) return false;
  const Rows r = left_part(answer);
  for (size_t i = 0; i < rows; ++i) {
    if (!near(dot(r[i], particular), answer[i].back())) return false;
  }
  const Rows special(given.begin() + 2, given.end());
  const bool killed = std::all_of(special.begin(), special.end(), [&](const Row& s) { return kills(r, s); });
  return killed && is_reduced_form(r) && rank(r) == static_cast<int>(particular.size() - special.size());
}

bool undo(const Words& prompt, Span answer) {
  const auto operations = std::find(prompt.begin(), prompt.end(), "SUB");
  const Rows result = numbers({prompt.begin() + 1, operations});
  const auto colon = static_cast<size_t>(std::find(answer.begin(), answer.end(), ":") - answer.begin());
  const Rows e = numbers(answer.subspan(0, colon));
  Rows start = numbers(answer.subspan(colon));
  Rows forward = identity(result.size());
  if (start.size() != result.size() || start[0].size() != result[0].size()) return false;
  for (auto word = operations; word != prompt.end(); ++word) {
    if (*word != "SUB") continue;
    const auto stop = std::find(word, prompt.end(), ";");
    const double factor = numbers({word + 3, stop})[0][0];
    for (Rows* rows : {&start, &forward}) {
      for (size_t j = 0; j < rows->front().size(); ++j) {
        (*rows)[row_index(word[1])][j] -= factor * (*rows)[row_index(word[2])][j];
      }
    }
  }
  if (!same(start, result)) return false;
  if (answer[0] != "INVERSE") return same(e, forward);
  Rows product = identity(result.size());
  for (size_t i = 0; i < e.size(); ++i) {
    for (size_t j = 0; j < e.size(); ++j) product[i][j] = dot(e[i], transposed(forward)[j]);
  }
  return same(product, identity(result.size()));
}

bool block(const Rows& a, const Rows& answer) {
  Rows doubled;
  for (int half = 0; half < 2; ++half) {
    for (const Row& row : a) {
      doubled.push_back(row);
      doubled.back().insert(doubled.back().end(), row.begin(), row.end());
    }
  }
  if (answer.size() != doubled.size() || answer[0].size() != doubled[0].size()) return false;
  return is_reduced_form(answer) && rank(answer) == rank(a) && rank(joined(answer, doubled)) == rank(a);
}

bool column_space(const Rows& a, Span answer) {
  const auto m = static_cast<int>(a.size());
  const int r = rank(a);
  const Rows rows = numbers(answer);
  const Rows vectors(rows.begin() + 1, rows.end());
  if (!space_is(answer[0], rows[0], r, m)) return false;
  if (has(answer, "EQ")) {
    const bool killed =
        std::all_of(vectors.begin(), vectors.end(), [&](const Row& v) { return kills(transposed(a), v); });
    return killed && rank(vectors) == m - r;
  }
  if (vectors.empty()) return r == 0 || r == m;
  const bool basis = static_cast<int>(vectors.size()) == r || (r == 0 && vectors.size() == 1);
  return basis && rank(vectors) == r && rank(joined(transposed(a), vectors)) == r;
}

bool member(const Rows& augmented, Span answer) {
  const Rows a = left_part(augmented);
  const Row b = transposed(augmented).back();
  const Rows vectors = numbers(answer.subspan(1));
  const auto m = static_cast<int>(a.size());
  if (has(answer, "EQ")) {
    const bool killed = std::all_of(vectors.begin(), vectors.end(), [&](const Row& v) {
      return kills(transposed(a), v) && near(dot(v, b), 0);
    });
    return answer[0] == "YES" && killed && rank(vectors) == m - rank(a);
  }
  if (answer[0] == "NO") return kills(transposed(a), vectors[0]) && !near(dot(vectors[0], b), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    if (!near(dot(a[i], vectors[0]), b[i])) return false;
  }
  return true;
}

bool member_rule(const Words& prompt, Span answer) {
  const auto states = [&](size_t at, const Words& words) {
    return at + words.size() <= answer.size() &&
           std::equal(words.begin(), words.end(), answer.begin() + static_cast<std::ptrdiff_t>(at));
  };
  const Words none = {"NONE", "NO", ";"};
  const Words unique = {"UNIQUE", "YES", "INDEPENDENT", ";"};
  const Words many = {"MANY", "YES", "DEPENDENT", ";"};
  if (prompt[1] == "NONE") return states(0, none);
  if (prompt[1] != "SOLSET") {
    bool found_all = answer.size() == 11;
    for (const Words& one : {none, unique, many}) {
      bool found = false;
      for (size_t at = 0; at < answer.size(); ++at) found = found || states(at, one);
      found_all = found_all && found;
    }
    return found_all;
  }
  Rows given = numbers({prompt.begin() + 2, prompt.end()});
  const Rows vectors = numbers(answer.subspan(4));
  if (!states(0, given.size() == 1 ? unique : many) || vectors.size() != 1) return false;
  Row difference = vectors[0];
  for (size_t j = 0; j < difference.size(); ++j) difference[j] -= given[0][j];
  const Rows special(given.begin() + 1, given.end());
  return rank(joined(special, {difference})) == rank(special);
}

}  // namespace

bool answer_right(const Words& prompt, Span answer) {
  const std::string& family = prompt[0];
  if (family == "UNDO") return undo(prompt, answer);
  if (family == "MEMBER_RULE") return member_rule(prompt, answer);
  const Rows given = numbers(std::span(prompt).subspan(1));
  if (family == "SOLSET") return solution_set(given, numbers(answer));
  if (family == "BLOCK") return block(given, numbers(answer));
  if (family == "COLSP") return column_space(given, answer);
  if (family == "MEMBER") return member(given, answer);
  if (family == "NULL") {
    if (answer[0] == "NONE") return rank(given) == static_cast<int>(given[0].size());
    return null_answer(given, numbers(answer), true);
  }
  const auto m = static_cast<int>(given[0][0]);
  const auto n = static_cast<int>(given[0][1]);
  const auto r = static_cast<int>(given[0][2]);
  if (family == "FACT_COUNT") {
    return (answer[0] == "ALWAYS") == (r == m) && (answer[1] == "UNIQUE") == (r == n);
  }
  const Rows sizes = numbers(answer);
  return space_is(answer[0], sizes[0], r, m) && space_is(answer[4], sizes[1], n - r, n);
}

}  // namespace giantrabbit::data::oracle
