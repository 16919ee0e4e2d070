// A text file as training data. Characters are bytes: a letter outside ASCII is as many characters as its
// encoding has bytes. Kept invariant: training, validation and test are parts of the file that do not
// overlap: the last 5% are the test's, the 5% before them validation's, the rest training's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"

namespace giantrabbit::data {

class Text {
 public:
  // Throws std::runtime_error naming the file when it cannot be read, or when it is so short that a part
  // holds no window of `window` characters.
  Text(const std::filesystem::path& file, int64_t window);
  std::string_view part(Split split) const;
  int64_t window() const { return window_; }
  // Size and FNV-1a of the bytes: "4404412-0123456789abcdef".
  std::string fingerprint() const;

 private:
  std::string bytes_;
  int64_t window_;
};

// The framing words, then one word per byte: "byte-00" .. "byte-ff".
Vocabulary text_vocabulary();
int64_t byte_id(char byte);
std::vector<int64_t> byte_ids(std::string_view text);

// Windows of the training part at places that depend on (seed, index) alone; no prompt, and no EOS, since no
// window is where a text ends.
class TextSource : public Dataset {
 public:
  TextSource(std::shared_ptr<const Text> text, uint64_t seed);
  Example example(uint64_t index) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  std::shared_ptr<const Text> text_;
  uint64_t seed_;
  Vocabulary vocabulary_;
};

}  // namespace giantrabbit::data
