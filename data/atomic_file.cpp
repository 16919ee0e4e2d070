// In: a path and bytes. Out: the file, complete or untouched (see the header). Kept invariant: the temporary
// file is removed when any step before the rename fails.
#include "data/atomic_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace giantrabbit::data {
namespace {

constexpr std::string_view temporary_mark = ".tmp.";  // then the writer's process id

[[noreturn]] void fail(const std::filesystem::path& file, const char* step, int error) {
  throw std::runtime_error("cannot " + std::string(step) + " " + file.string() + ": " + std::strerror(error));
}

void write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// Without this the new name may be lost in a power cut although the data is safe.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& file, std::string_view bytes) {
  const std::filesystem::path temporary =
      file.string() + std::string(temporary_mark) + std::to_string(::getpid());
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) fail(temporary, "create", errno);
  try {
    write_all(descriptor, bytes);
    if (::fsync(descriptor) != 0) throw errno;
  } catch (const int error) {
    ::close(descriptor);
    ::unlink(temporary.c_str());
    fail(temporary, "write", error);
  }
  ::close(descriptor);
  if (::rename(temporary.c_str(), file.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail(file, "replace", error);
  }
  sync_folder(file.has_parent_path() ? file.parent_path() : std::filesystem::path("."));
}

void remove_temporary_files(const std::filesystem::path& folder, std::string_view beginning) {
  std::error_code missing;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename().string();
    const size_t mark = name.rfind(temporary_mark);
    if (!name.starts_with(beginning) || mark == std::string::npos || !entry.is_regular_file()) continue;
    const std::string_view writer = std::string_view(name).substr(mark + temporary_mark.size());
    const bool is_number =
        !writer.empty() && writer.find_first_not_of("0123456789") == std::string_view::npos;
    if (is_number) found.push_back(entry.path());
  }
  for (const auto& file : found) std::filesystem::remove(file);
}

std::string read_file(const std::filesystem::path& file) {
  // A directory opens as a stream without an error, so it is excluded first.
  if (std::filesystem::is_directory(file)) fail(file, "read", EISDIR);
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail(file, "read", errno);
  std::string bytes(std::istreambuf_iterator<char>(stream), {});
  if (stream.bad()) fail(file, "read", errno);
  return bytes;
}

}  // namespace giantrabbit::data
