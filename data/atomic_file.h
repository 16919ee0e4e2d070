// Whole files in and out. In: a path and bytes. Out: the file, complete or untouched: written under a
// temporary name in the same folder, synced, renamed over the old one, and the folder synced, so a crash
// never leaves half a file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace giantrabbit::data {

// Throws std::runtime_error naming the file and the system's reason.
void write_file_atomically(const std::filesystem::path& file, std::string_view bytes);
// Removes what killed writers of files whose names begin with `beginning` left in the folder, if it exists.
// Nobody may be writing there.
void remove_temporary_files(const std::filesystem::path& folder, std::string_view beginning);
// All bytes of a regular file; throws std::runtime_error naming the file and the system's reason.
std::string read_file(const std::filesystem::path& file);

}  // namespace giantrabbit::data
