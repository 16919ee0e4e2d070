// What a problem, a judged answer and a family of problems are. A problem is its prompt: a list of words from
// the vocabulary, which every family can write and read back exactly. Families are stateless; find_family()
// names them.
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "data/counter_rng.h"
#include "data/matrix.h"

namespace giantrabbit::data {

using Words = std::vector<std::string>;

// How a chain is written: products and new entries, new entries only, or no chain at all.
enum class ChainFormat { prod, delta, answer_only };
ChainFormat parse_chain_format(std::string_view text);  // throws std::invalid_argument naming the three
std::string_view chain_format_name(ChainFormat format);

// A problem that cannot be read: the sentence says what was expected and what came.
class ProblemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Problem {
  std::string id;  // for people; empty for generated problems
  Words prompt;    // first word = the family's name, last word ";"
};

// Why an output is wrong; the first fault of the output counts. `policy`: steps valid but they stop early or
// do not lead to the answer. `final_copy`: the chain is right and complete, the answer does not say what it
// reached. `truncated`: no EOS within the allowed length.
enum class ErrorClass { none, format, stale_row, arithmetic, policy, final_copy, truncated };
std::string_view error_class_name(ErrorClass error);

// One written step, judged on the model's own state: valid when the words after ':' equal the stated
// operation applied to the state that the model itself has written so far.
struct StepVerdict {
  int begin = 0;  // words [begin, end) of the output
  int end = 0;
  bool valid = false;
  bool as_reference = false;  // the same step as the reference chain at this place
  ErrorClass error = ErrorClass::none;
  std::string reason;  // one clause for people, empty when valid
};

struct Verdict {
  bool finished = false;      // EOS was written
  bool answer_right = false;  // by the family's grading rule
  bool chain_valid = false;   // finished, right, and every step valid
  ErrorClass error = ErrorClass::none;
  std::vector<StepVerdict> steps;
  int chain_words = 0;            // words before ANS
  int reference_chain_words = 0;  // the same of the reference solution
  int reference_steps = 0;
  bool has_fraction = false;  // the reference chain or the prompt meets a fraction
};

// A word that a family needs beside the base words of every vocabulary (data/vocabulary.h).
struct ExtraWord {
  std::string text;
  bool ends_group = false;  // the count of values starts again behind it, as behind ":"
  bool ends_row = false;    // it separates rows of the prompt, as ";" does
};

class Family {
 public:
  virtual ~Family() = default;
  virtual std::string_view name() const = 0;     // "RREF", "NULL", ..: the first word of the prompt
  virtual std::string_view summary() const = 0;  // one line for --help: what is given, what is asked
  // In a fixed order, which is part of every saved run; none for families of base words only.
  virtual std::span<const ExtraWord> extra_words() const;
  // False: problems and solutions have no numbers, operations and the like (data/vocabulary.h).
  virtual bool needs_base_words() const { return true; }

  // A random problem whose prompt and reference solution stay inside the vocabulary; draws only from `rng`.
  virtual Problem generate(CounterRng& rng) const = 0;
  // `given` of an outside item (structure of the exam file). Throws ProblemError.
  virtual Problem from_json(const nlohmann::json& given) const = 0;
  // Throws ProblemError when the prompt is not a problem of this family within the vocabulary's range.
  virtual void validate(const Words& prompt) const = 0;
  // Chain, ANS, answer, EOS. Throws ProblemError when the chain leaves the vocabulary's range.
  virtual Words solve(const Words& prompt, ChainFormat format) const = 0;
  // Judges an output (with or without EOS) whatever its words are; never throws on a wrong output.
  virtual Verdict judge(const Words& prompt, std::span<const std::string> output,
                        ChainFormat format) const = 0;
  // The text whose hash decides the split (data/split.h).
  virtual std::string canonical(const Words& prompt) const = 0;
  // The group that results are shown by: "3x4" for a matrix of that shape, or the family's name.
  virtual std::string stratum(const Words& prompt) const;
  // Share of such problems that training keeps, in (0, 1]; validation and test keep all of them.
  virtual double training_weight(const Words& prompt) const;
  // Whether training, validation and test have different problems; false where there are too few of them, and
  // results then say what was learned, not what generalises.
  virtual bool is_split() const { return true; }
};

// Throws ProblemError that lists the known families.
const Family& find_family(std::string_view name);
std::span<const Family* const> all_families();   // RREF, the nine exam families, the other domains
std::span<const Family* const> exam_families();  // in exam order

// "NULL 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2" -> a validated problem. Fractions may be written "1/2" or "1 /2"; a
// missing final ";" is added. Throws ProblemError.
Problem parse_problem(std::string_view text);
std::string join_words(std::span<const std::string> words);

}  // namespace giantrabbit::data
