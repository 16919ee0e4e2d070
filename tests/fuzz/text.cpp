// In: a text file; its first byte chooses the window. Accepted: the three parts are the file, every window
// lies in the training part.
#include <algorithm>

#include "data/text_source.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {

void text(std::string_view bytes) {
  if (bytes.empty()) return;
  const int64_t window = 2 + static_cast<unsigned char>(bytes[0]);
  const std::string_view all = bytes.substr(1);
  const std::filesystem::path file = scratch_file("text", all);
  std::shared_ptr<const data::Text> text;
  if (!accepts([&] { text = std::make_shared<const data::Text>(file, window); })) return;
  std::string joined;
  for (const auto split : {data::Split::train, data::Split::validation, data::Split::test}) {
    require(std::ssize(text->part(split)) >= window, "every part holds a window");
    joined += text->part(split);
  }
  require(joined == all, "the parts are the file");
  require(text->fingerprint() == data::Text(file, window).fingerprint(), "a file has one fingerprint");
  const data::TextSource source(text, 1);
  const std::vector<int64_t> training = data::byte_ids(text->part(data::Split::train));
  for (uint64_t index = 0; index < 4; ++index) {
    const std::vector<int64_t> target = source.example(index).target;
    require(std::ssize(target) == window, "a window has its length");
    require(std::search(training.begin(), training.end(), target.begin(), target.end()) != training.end(),
            "a window lies in the training part");
    for (const int64_t id : target) require(id < source.vocabulary().size(), "a byte is a word");
  }
}

}  // namespace giantrabbit::fuzz
