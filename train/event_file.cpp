// Protocol buffers by hand: the few fields that are needed; see event_file.h.
#include "train/event_file.h"

#include <array>
#include <bit>
#include <chrono>
#include <stdexcept>

#include <fmt/format.h>
#include <png.h>
#include <unistd.h>

#include <torch/torch.h>

namespace giantrabbit::train {
namespace {

// Appends `value`'s bytes, the least significant first.
template <typename Unsigned>
void append_little_endian(std::string& bytes, Unsigned value) {
  for (size_t i = 0; i < sizeof(value); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
}

// One message under construction. Fields by number and wire type, as the encoding of protocol buffers says.
class Message {
 public:
  Message& whole(uint32_t field, uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& real64(uint32_t field, double value) {
    key(field, 1);
    append_little_endian(bytes_, std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& real32(uint32_t field, float value) {
    key(field, 5);
    append_little_endian(bytes_, std::bit_cast<uint32_t>(value));
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(uint32_t field, const Message& value) { return bytes(field, value.bytes_); }
  const std::string& encoded() const { return bytes_; }

 private:
  void key(uint32_t field, uint32_t wire_type) { varint(field << 3 | wire_type); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Event: wall_time 1, step 2; its content is added by the caller.
Message event_at(int64_t step) {
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  Message event;
  event.real64(1, std::chrono::duration<double>(time).count());
  if (step != 0) event.whole(2, static_cast<uint64_t>(step));
  return event;
}

uint32_t masked(uint32_t checksum) { return std::rotr(checksum, 15) + 0xa282ead8U; }

std::string grey_png(const at::Tensor& brightness) {
  const at::Tensor pixels = brightness.clamp(0, 1).mul(255).round().to(at::kByte).contiguous();
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(pixels.size(1));
  image.height = static_cast<png_uint_32>(pixels.size(0));
  image.format = PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string png(size, '\0');
  if (png_image_write_to_memory(&image, png.data(), &size, 0, pixels.const_data_ptr(), 0, nullptr) == 0) {
    throw std::runtime_error(fmt::format("a picture of {} x {} cannot be encoded: {}", image.height,
                                         image.width, static_cast<const char*>(image.message)));
  }
  png.resize(size);
  return png;
}

std::filesystem::path file_name() {
  static int files = 0;
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("events.out.tfevents.{}.{}.{}.{}",
                     std::chrono::duration_cast<std::chrono::seconds>(time).count(), host.data(), ::getpid(),
                     files++);
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> remainders{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t rest = i;
      for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? 0x82f63b78U : 0U);
      remainders[i] = rest;
    }
    return remainders;
  }();
  uint32_t checksum = ~0U;
  for (const char byte : bytes) {
    checksum = (checksum >> 8) ^ table[(checksum ^ static_cast<uint8_t>(byte)) & 0xff];
  }
  return ~checksum;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t last_step)
    : path_(folder / file_name()), stream_(path_, std::ios::binary) {
  // Event: file_version 3; session_log 7 with status 1 = START.
  write_record(event_at(0).bytes(3, "brain.Event:2").encoded());
  if (last_step > 0) {
    write_record(event_at(last_step + 1).message(7, Message().whole(1, 1)).encoded());
  }
}

// Summary: value 1. Value: tag 1, simple_value 2, image 4. Image: height 1, width 2, colorspace 3 (1 = grey),
// encoded_image_string 4.
void EventFile::write(int64_t step, const std::vector<Scalar>& scalars) {
  Message summary;
  for (const Scalar& scalar : scalars) {
    summary.message(1, Message().bytes(1, scalar.tag).real32(2, static_cast<float>(scalar.value)));
  }
  write_record(event_at(step).message(5, summary).encoded());
}

void EventFile::write(int64_t step, const std::string& tag, const at::Tensor& brightness) {
  Message image;
  image.whole(1, static_cast<uint64_t>(brightness.size(0)))
      .whole(2, static_cast<uint64_t>(brightness.size(1)))
      .whole(3, 1)
      .bytes(4, grey_png(brightness));
  write_record(
      event_at(step).message(5, Message().message(1, Message().bytes(1, tag).message(4, image))).encoded());
}

void EventFile::write_record(std::string_view event) {
  std::string length;
  append_little_endian(length, static_cast<uint64_t>(event.size()));
  std::string record = length;
  append_little_endian(record, masked(crc32c(length)));
  record += event;
  append_little_endian(record, masked(crc32c(event)));
  stream_.write(record.data(), std::ssize(record)).flush();
  if (!stream_) throw std::runtime_error(fmt::format("{}: cannot be written", path_.string()));
}

}  // namespace giantrabbit::train
