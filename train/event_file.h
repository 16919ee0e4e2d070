// TensorBoard's event file: records of scalars and images by step. In, tags and values; out, a file
// `events.out.tfevents.<seconds>.<host>.<process>` that TensorBoard reads while it grows. Every record is
// written whole with its checksums and flushed; a killed run leaves at most one broken record at the end,
// which TensorBoard ignores.
//
// Record framing: https://github.com/tensorflow/tensorboard, tensorboard/compat/proto/{event,summary}.proto
// and the TFRecord format: length, masked CRC-32C of it, bytes, masked CRC-32C of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace giantrabbit::train {

struct Scalar {
  std::string tag;
  double value = 0;  // stored as float
};

class EventFile {
 public:
  // Begins a file in `folder`. It tells TensorBoard to forget what earlier files of the folder hold of the
  // steps behind `last_step`: the run does them again.
  EventFile(const std::filesystem::path& folder, int64_t last_step);

  void write(int64_t step, const std::vector<Scalar>& scalars);
  // brightness [rows, columns] in 0 .. 1, as a grey PNG picture.
  void write(int64_t step, const std::string& tag, const at::Tensor& brightness);

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream stream_;
};

// CRC-32C (Castagnoli), as RFC 3720 defines it.
uint32_t crc32c(std::string_view bytes);

}  // namespace giantrabbit::train
