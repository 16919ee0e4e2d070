// In: a text file. Out: its parts, their characters as ids, and windows for training. Kept invariant: window
// `index` draws only from the key (task, split, seed, index).
#include "data/text_source.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "data/atomic_file.h"
#include "data/counter_rng.h"

namespace giantrabbit::data {
namespace {

constexpr size_t share_of_a_part = 20;  // validation and test are one in 20 characters each
constexpr int64_t first_byte = 7;       // behind the framing words

}  // namespace

Text::Text(const std::filesystem::path& file, int64_t window) : bytes_(read_file(file)), window_(window) {
  if (part(Split::test).size() >= static_cast<size_t>(window)) return;
  throw std::runtime_error(
      fmt::format("{}: {} characters are too few: validation and test take 5% each, which must hold at least "
                  "one window of {}",
                  file.string(), bytes_.size(), window));
}

std::string_view Text::part(Split split) const {
  const std::string_view all = bytes_;
  const size_t size = all.size() / share_of_a_part;
  if (split == Split::test) return all.substr(all.size() - size);
  if (split == Split::validation) return all.substr(all.size() - 2 * size, size);
  return all.substr(0, all.size() - 2 * size);
}

std::string Text::fingerprint() const { return fmt::format("{}-{:016x}", bytes_.size(), fnv1a64(bytes_)); }

Vocabulary text_vocabulary() {
  std::vector<ExtraWord> words;
  for (int byte = 0; byte < 256; ++byte) words.push_back({fmt::format("byte-{:02x}", byte)});
  return Vocabulary(words, /*base=*/false);
}

int64_t byte_id(char byte) { return first_byte + static_cast<unsigned char>(byte); }

std::vector<int64_t> byte_ids(std::string_view text) {
  std::vector<int64_t> ids(text.size());
  std::ranges::transform(text, ids.begin(), byte_id);
  return ids;
}

TextSource::TextSource(std::shared_ptr<const Text> text, uint64_t seed)
    : text_(std::move(text)), seed_(seed), vocabulary_(text_vocabulary()) {}

Example TextSource::example(uint64_t index) const {
  const std::string_view part = text_->part(Split::train);
  CounterRng rng{fnv1a64("text"), static_cast<uint64_t>(Split::train), seed_, index};
  const int64_t last = std::ssize(part) - text_->window();
  const auto begin = static_cast<size_t>(rng.uniform(0, last));
  return {{}, {}, byte_ids(part.substr(begin, static_cast<size_t>(text_->window())))};
}

}  // namespace giantrabbit::data
