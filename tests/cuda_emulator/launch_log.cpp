// Which kernels a process has launched, with how many threads a block and how much dynamic shared memory:
// what occupancy is computed from (tests/ops_cuda/ptxas_table.py), so that nobody types it a second time.
// Out, where the environment names a file in GR_LAUNCH_LOG: one line "<symbol> <threads> <bytes>" per
// combination, written when the process ends. Kernels without a symbol that can be seen are left out.
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <tuple>

#include <dlfcn.h>

#include "tests/cuda_emulator/launch.h"

namespace giantrabbit::cuda_emulator {
namespace {

class LaunchLog {
 public:
  LaunchLog() {
    const char* const path = std::getenv("GR_LAUNCH_LOG");
    if (path != nullptr) path_ = path;
  }
  LaunchLog(const LaunchLog&) = delete;
  LaunchLog& operator=(const LaunchLog&) = delete;

  ~LaunchLog() {
    if (path_.empty()) return;
    std::ofstream file(path_);
    for (const auto& [kernel, threads, bytes] : launches_) {
      Dl_info found{};
      if (dladdr(kernel, &found) != 0 && found.dli_sname != nullptr && found.dli_saddr == kernel)
        file << found.dli_sname << ' ' << threads << ' ' << bytes << '\n';
    }
  }

  void add(const void* kernel, size_t threads, size_t bytes) {
    if (!path_.empty()) launches_.emplace(kernel, threads, bytes);
  }

 private:
  std::string path_;
  std::set<std::tuple<const void*, size_t, size_t>> launches_;
};

}  // namespace

void note_launch(const void* kernel, size_t threads, size_t shared_bytes) {
  static LaunchLog log;
  log.add(kernel, threads, shared_bytes);
}

}  // namespace giantrabbit::cuda_emulator
