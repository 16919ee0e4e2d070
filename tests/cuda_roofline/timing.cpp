// Times the cases of cases.h on a device, without LibTorch: what prediction.cpp predicts. In: a text, for
// cases that have it in their names, or nothing. Out: milliseconds by the device's clock, the median of
// several turns (of slow work one); without a device a sentence and exit code 77.
#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <cuda_runtime_api.h>

#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {
namespace {

void check_device(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class Event {
 public:
  Event() { check_device(cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record() { check_device(cudaEventRecord(event_, nullptr)); }

  float milliseconds_since(const Event& begin) const {
    float milliseconds = 0;
    check_device(cudaEventSynchronize(event_));
    check_device(cudaEventElapsedTime(&milliseconds, begin.event_, event_));
    return milliseconds;
  }

 private:
  cudaEvent_t event_{};
};

float turn(const std::function<void()>& launch, int repeats) {
  Event begin;
  Event end;
  begin.record();
  for (int i = 0; i < repeats; ++i) launch();
  end.record();
  return end.milliseconds_since(begin) / static_cast<float>(repeats);
}

float milliseconds(const std::function<void()>& launch) {
  constexpr int kTurns = 5;
  constexpr float kTurnMilliseconds = 10;
  constexpr float kSlowMilliseconds = 500;  // loading the kernel takes a small part of it
  if (const float first = turn(launch, 1); first >= kSlowMilliseconds) return first;
  const float once = turn(launch, 1);
  if (once >= kTurns * kTurnMilliseconds) return once;
  const int repeats = std::clamp(static_cast<int>(kTurnMilliseconds / once), 1, 100);
  std::vector<float> times;
  for (int i = 0; i < kTurns; ++i) times.push_back(turn(launch, repeats));
  std::sort(times.begin(), times.end());
  return times[kTurns / 2];
}

int time_cases(const std::string& text) {
  cudaDeviceProp device{};
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("cuda_timing: no CUDA device, nothing is timed: %s\n", cudaGetErrorString(error));
    return 77;
  }
  check_device(cudaGetDeviceProperties(&device, 0));
  std::printf("Measured on %s: milliseconds\n%-36s", device.name, "");
  for (const int64_t length : kReportedLengths) std::printf(" %9lld", static_cast<long long>(length));
  for (const Case& operation : all_cases()) {
    if (operation.name.find(text) == std::string::npos) continue;
    std::printf("\n%-36s", operation.name.c_str());
    for (const int64_t length : kReportedLengths) {
      std::printf(" %9.3f", milliseconds(operation.prepare(length, operation.reported_units(length))));
      std::fflush(stdout);
    }
  }
  std::printf("\n");
  return 0;
}

}  // namespace
}  // namespace giantrabbit::roofline

int main(int count, char** arguments) {
  try {
    return giantrabbit::roofline::time_cases(count > 1 ? arguments[1] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "\ncuda_timing: %s\n", error.what());
    return 1;
  }
}
