// giantrabbit-eval: picks the command. Exit codes: 0 done, 1 failed, 2 wrong usage; errors are one sentence
// on stderr.
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "data/problem.h"
#include "eval/commands/command.h"
#include "eval/error_text.h"
#include "model/option_set.h"

namespace {

namespace data = giantrabbit::data;
namespace eval = giantrabbit::eval;

void print_help() {
  fmt::print(
      "giantrabbit-eval: judges trained runs on problems whose every step can be checked.\n\nCommands:\n");
  for (const eval::Command& command : eval::commands())
    fmt::print("  {:8} {}\n", command.name, command.summary);
  fmt::print("\ngiantrabbit-eval COMMAND --help shows the options of a command.\n");
}

const eval::Command& find_command(const std::string& name) {
  std::string known;
  for (const eval::Command& command : eval::commands()) {
    if (command.name == name) return command;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", command.name);
  }
  throw eval::UsageError(fmt::format("unknown command '{}'; known are {}", name, known));
}

void run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) throw eval::UsageError("a command is needed; --help lists them");
  if (arguments.front() == "--help") return print_help();
  find_command(arguments.front()).run(std::span(arguments).subspan(1));
}

int fail(const std::exception& error, int code) {
  fmt::print(stderr, "giantrabbit-eval: {}\n", eval::error_text(error));
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const eval::UsageError& error) {
    return fail(error, 2);
  } catch (const data::ProblemError& error) {
    return fail(error, 2);
  } catch (const giantrabbit::model::OptionError& error) {
    return fail(error, 2);
  } catch (const std::exception& error) {
    return fail(error, 1);
  }
}
