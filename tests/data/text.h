// What the data tests share. In: a text. Out: its words, as a model or a problem would have them.
#pragma once

#include <sstream>
#include <string>

#include "data/problem.h"

namespace giantrabbit::data {

inline Words words_of(const std::string& text) {
  std::istringstream stream(text);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace giantrabbit::data
