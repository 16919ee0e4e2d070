// The commands of giantrabbit-eval. Each takes its own arguments (without program and command name), prints
// its result and throws: UsageError or data::ProblemError for what the user wrote, anything else for what
// failed.
#pragma once

#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <cxxopts.hpp>
#include <nlohmann/json_fwd.hpp>

#include "eval/run.h"

namespace giantrabbit::eval {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Command {
  std::string_view name;
  std::string_view summary;  // one sentence for --help
  void (*run)(std::span<const std::string> arguments);
};
std::span<const Command> commands();

void run_compare(std::span<const std::string> arguments);
void run_evict(std::span<const std::string> arguments);
void run_exam(std::span<const std::string> arguments);
void run_export(std::span<const std::string> arguments);
void run_inspect(std::span<const std::string> arguments);
void run_patterns(std::span<const std::string> arguments);
void run_solve(std::span<const std::string> arguments);
void run_text(std::span<const std::string> arguments);
void run_timing(std::span<const std::string> arguments);

// Options of one command. `--help` is always there.
struct Parsed {
  cxxopts::ParseResult options;
  std::vector<std::string> runs;  // arguments that are no options: run directories
  bool help = false;              // the help text was printed, nothing is left to do
};
// Throws UsageError; an unknown option is answered with the nearest known ones.
Parsed parse(cxxopts::Options& options, std::span<const std::string> arguments);
// A flag, also as --name=false.
bool flag(const Parsed& parsed, const std::string& name);
// Throws UsageError when --name was given together with one of the others.
void refuse_beside(const Parsed& parsed, const std::string& name, std::initializer_list<const char*> others);
// More than any command gets through: a bound on problems and the like, so that a slip of the keyboard is
// answered.
inline constexpr int64_t most_problems = 1'000'000;
// --name as a whole number (its option holds a text); throws UsageError for anything else and outside of
// [least, most].
int64_t whole_number(const Parsed& parsed, const std::string& name, int64_t least,
                     int64_t most = most_problems);
// The same for a text that --name holds.
int64_t whole_number(const std::string& name, const std::string& text, int64_t least, int64_t most);
// --name as a number; throws UsageError unless it is above 0 and at most 1.
double share_of_one(const Parsed& parsed, const std::string& name);
// --name as a number from `least` to `most`; throws UsageError for anything else.
double number(const Parsed& parsed, const std::string& name, double least, double most);
// --name as numbers between commas; throws UsageError unless each is above 0 and at most 1.
std::vector<double> shares(const Parsed& parsed, const std::string& name);
// --name as increasing whole numbers between commas; throws UsageError for anything else and outside of
// [least, most].
std::vector<int64_t> increasing_numbers(const Parsed& parsed, const std::string& name, int64_t least,
                                        int64_t most);
// The same for lengths of chains.
std::vector<int64_t> lengths(const Parsed& parsed, const std::string& name);
// Throws UsageError when the file or folder that --name asks for cannot be written: before the work, not
// after it.
enum class OutputKind { file, folder };
void check_output(const Parsed& parsed, const std::string& name, OutputKind kind = OutputKind::file);
// Writes what --json asks for; bytes that are no UTF-8 are replaced.
void write_json(const Parsed& parsed, const nlohmann::ordered_json& document);
// The task all runs were trained on; throws UsageError, naming `remedy`, when they differ.
std::string common_task(std::span<const Run> runs, std::string_view remedy);

// What a command judges: problems that are solved, or a text that is predicted.
enum class RunKind { problems, text, any };
// The runs that the arguments name, their names unique; --weights is for those whose name ends in no
// "@weights=..". `float32_only`: a sentence, thrown as UsageError where a run is to have other weights. A run
// of another kind is a UsageError, too.
std::vector<Run> load_runs(const Parsed& parsed, const std::string& float32_only = "",
                           RunKind kind = RunKind::problems);

// Sets the number of threads and throws UsageError unless `runs` names at least one run.
void prepare(const Parsed& parsed);

}  // namespace giantrabbit::eval
