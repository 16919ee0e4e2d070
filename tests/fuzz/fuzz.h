// What the fuzz targets share. A target takes bytes as a stranger may hand them over. It returns when they
// are refused by one sentence, or accepted and all that must hold of what was accepted does; anything else
// (another exception, a sentence of two lines, a broken promise) ends the process, which libFuzzer and
// driver.cpp report.
#pragma once

#include <exception>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace giantrabbit::fuzz {

struct Target {
  const char* name;
  void (*run)(std::string_view bytes);
};
std::span<const Target> all_targets();
const Target& find_target(std::string_view name);  // throws std::invalid_argument that lists the targets

void safetensors(std::string_view bytes);
void problem(std::string_view bytes);
void items(std::string_view bytes);
void judge(std::string_view bytes);
void text(std::string_view bytes);
void vocabulary(std::string_view bytes);
void config(std::string_view bytes);
void checkpoint(std::string_view bytes);
void metrics(std::string_view bytes);
void run(std::string_view bytes);

// Ends the process with `promise` unless it holds.
void require(bool holds, std::string_view promise);
// What the programs print about an error: UTF-8 in one line.
void require_sentence(std::string_view text);
void require_sentence_of(const std::exception& error);

// Whether `read` accepted its input; it may refuse by Refusal only.
template <typename Refusal = std::runtime_error, typename Read>
bool accepts(Read read) {
  try {
    read();
    return true;
  } catch (const Refusal& error) {
    require_sentence_of(error);
    return false;
  }
}

// A folder of this process in TMPDIR or, without one, in memory where the system has such a place: some
// targets write files that are forced to the disk.
const std::filesystem::path& scratch_folder();
std::filesystem::path scratch_file(const std::string& name, std::string_view bytes);

// The bytes as they are, or, when they begin with '{', a safetensors file of this header over `data`: random
// changes reach the header far more often that way.
std::string with_header(std::string_view bytes, std::string_view data);

}  // namespace giantrabbit::fuzz
