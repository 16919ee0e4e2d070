// Runs gnuplot on a temporary script file and cleans what it draws; see gnuplot.h.
#include "eval/gnuplot.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "data/atomic_file.h"

namespace giantrabbit::eval {
namespace {

struct Finished {
  int status = -1;
  std::string output;
};

Finished run_command(const std::string& command) {
  Finished finished;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return finished;
  std::array<char, 4096> buffer{};
  while (const size_t read = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    finished.output.append(buffer.data(), read);
  }
  finished.status = pclose(pipe);
  return finished;
}

// A folder of our own that is removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "giantrabbit-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error(fmt::format("{}: no temporary folder can be made", name));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

bool has_gnuplot() {
  static const bool found = run_command("gnuplot --version 2>/dev/null").status == 0;
  return found;
}

std::string draw_svg_file(const std::string& script, const std::string& name) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "plot.gp";
  data::write_file_atomically(file, script);
  const std::filesystem::path errors = folder.path() / "errors";
  const Finished drawn = run_command(fmt::format("gnuplot '{}' 2>'{}'", file.string(), errors.string()));
  if (drawn.status != 0 || drawn.output.find("</svg>") == std::string::npos) {
    throw std::runtime_error(fmt::format("gnuplot could not draw {}: {}", name, data::read_file(errors)));
  }
  return drawn.output;
}

std::string draw_svg(const std::string& script, const std::string& prefix) {
  return inline_svg(draw_svg_file(script, prefix), prefix);
}

std::string inline_svg(std::string svg, const std::string& prefix) {
  svg.erase(0, svg.find("<svg"));
  // HTML knows the namespaces; a page that is to need no network names no host.
  replace_all(svg, "xmlns=\"http://www.w3.org/2000/svg\"", "role=\"img\"");
  replace_all(svg, "xmlns:xlink=\"http://www.w3.org/1999/xlink\"", "");
  replace_all(svg, "<title>Gnuplot</title>", "");
  const size_t description = svg.find("<desc>");
  if (description != std::string::npos) {
    const size_t end = svg.find("</desc>");
    if (end != std::string::npos) svg.erase(description, end + 7 - description);
  }
  for (const char quote : {'"', '\''}) {
    replace_all(svg, fmt::format("id={}", quote), fmt::format("id={}{}-", quote, prefix));
    replace_all(svg, fmt::format("href={}#", quote), fmt::format("href={}#{}-", quote, prefix));
  }
  replace_all(svg, "url(#", fmt::format("url(#{}-", prefix));
  return svg;
}

}  // namespace giantrabbit::eval
