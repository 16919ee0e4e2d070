// The fuzz targets without clang. In: the folder with the kept inputs; then SECONDS and SEED. Every input
// runs once, then random changes of them for SECONDS in all. A finding ends the process with its input
// written to fuzz-finding-TARGET in the working directory; the seed is printed first.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "data/atomic_file.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {
namespace {

constexpr unsigned most_seconds_of_an_input = 20;
std::string current_file;
std::string current_input;

// Only calls that a signal handler may make.
void report_finding(int number) {
  const int file = ::open(current_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const auto written = ::write(file, current_input.data(), current_input.size());
  const auto named = ::write(STDERR_FILENO, current_file.data(), current_file.size());
  std::_Exit(written < 0 || named < 0 ? 1 : 128 + number);
}

void run_one(const Target& target, std::string input) {
  current_input = std::move(input);
  ::alarm(most_seconds_of_an_input);
  target.run(current_input);
}

std::string changed(std::string input, const std::string& other, std::mt19937_64& random) {
  const auto below = [&](size_t end) { return random() % (end + 1); };
  for (size_t changes = 1 + below(3); changes > 0; --changes) {
    const size_t place = below(input.size());
    switch (below(4)) {
      case 0:
        if (place < input.size()) input[place] = static_cast<char>(input[place] ^ (1 << below(7)));
        break;
      case 1:
        input.insert(place, 1, static_cast<char>(below(255)));
        break;
      case 2:
        input.erase(place, below(1) == 0 ? std::string::npos : below(8));
        break;
      case 3:
        input.insert(place, input, below(input.size()), below(32));
        break;
      default:
        input.replace(place, below(32), other, below(other.size()), below(32));
    }
  }
  return input;
}

void run_all(const std::filesystem::path& corpus, double seconds, uint64_t seed) {
  fmt::print("fuzz_corpus: seed {}\n", seed);
  std::fflush(stdout);
  std::mt19937_64 random(seed);
  for (const Target& target : all_targets()) {
    current_file = fmt::format("fuzz-finding-{}", target.name);
    std::vector<std::string> inputs = {""};
    for (const auto& entry : std::filesystem::directory_iterator(corpus / target.name)) {
      inputs.push_back(data::read_file(entry.path()));
    }
    for (const std::string& input : inputs) run_one(target, input);
    using Clock = std::chrono::steady_clock;
    const std::chrono::duration<double> share(seconds / static_cast<double>(all_targets().size()));
    int64_t count = 0;
    for (const auto begin = Clock::now(); Clock::now() - begin < share; ++count) {
      const auto any = [&]() -> const std::string& { return inputs[random() % inputs.size()]; };
      run_one(target, changed(any(), any(), random));
    }
    fmt::print("{:12} {:4} kept inputs, {:7} random changes\n", target.name, inputs.size(), count);
  }
}

}  // namespace
}  // namespace giantrabbit::fuzz

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "usage: fuzz_corpus CORPUS [SECONDS [SEED]]\n");
    return 2;
  }
  const double seconds = argc > 2 ? std::stod(argv[2]) : 10;
  const uint64_t seed = argc > 3 ? std::stoull(argv[3]) : std::random_device()();
  for (const int number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGALRM}) {
    std::signal(number, giantrabbit::fuzz::report_finding);
  }
  giantrabbit::fuzz::run_all(argv[1], seconds, seed);
}
