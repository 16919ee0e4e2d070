// In: vocabulary.json of a run. Accepted: what we write in its place is accepted too, and is what it said.
#include "data/vocabulary.h"

#include <nlohmann/json.hpp>

#include "data/example_source.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {

void vocabulary(std::string_view bytes) {
  static const data::Vocabulary vocabulary = data::ExampleSource::task_vocabulary("abc-sort");
  const std::filesystem::path file = scratch_file("vocabulary.json", bytes);
  if (!accepts([&] { vocabulary.verify(file); })) return;
  require(nlohmann::json::parse(bytes).at("words").get<data::Words>() == vocabulary.words(),
          "an accepted file has the same words");
}

}  // namespace giantrabbit::fuzz
