// The commands of giantrabbit-eval. Each takes its own arguments (without program and command name), prints
// its result and throws: UsageError or data::ProblemError for what the user wrote, anything else for what
// failed.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <cxxopts.hpp>

#include "eval/run.h"
#include "model/prepared_decoder.h"

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
void run_inspect(std::span<const std::string> arguments);
void run_solve(std::span<const std::string> arguments);
void run_timing(std::span<const std::string> arguments);

// Options of one command. `--help` is always there.
struct Parsed {
  cxxopts::ParseResult options;
  std::vector<std::string> runs;  // arguments that are no options: run directories
  bool help = false;              // the help text was printed, nothing is left to do
};
// Throws UsageError; an unknown option is answered with the nearest known ones.
Parsed parse(cxxopts::Options& options, std::span<const std::string> arguments);
// --name as a whole number (its option holds a text); throws UsageError for anything else and below `least`.
int64_t whole_number(const Parsed& parsed, const std::string& name, int64_t least);
// The same for a text that --name holds.
int64_t whole_number(const std::string& name, const std::string& text, int64_t least);
// --name as a number; throws UsageError unless it is above 0 and at most 1.
double share_of_one(const Parsed& parsed, const std::string& name);
// --name as numbers between commas; throws UsageError unless each is above 0 and at most 1.
std::vector<double> shares(const Parsed& parsed, const std::string& name);
// --name as increasing whole numbers between commas; throws UsageError for anything else.
std::vector<int64_t> lengths(const Parsed& parsed, const std::string& name);
// Throws UsageError when the file that --name asks for cannot be written: before the work, not after it.
void check_output(const Parsed& parsed, const std::string& name);
// The task all runs were trained on; throws UsageError, naming `remedy`, when they differ.
std::string common_task(std::span<const Run> runs, std::string_view remedy);

// What --weights names; throws UsageError for anything else.
model::WeightType weights(const Parsed& parsed);

// Sets the number of threads and throws UsageError unless `runs` names at least one run.
void prepare(const Parsed& parsed);

}  // namespace giantrabbit::eval
