// Problems from outside: a JSON list, an object with "items", or JSON lines, each item {id, family, given,
// answer} as in the exam file; `answer` is optional, grading uses our own exact solution. Items of other
// domains also come in their communities' formats (data/community_items.h): questions about graphs in JSON,
// lines of text for multiplication ("||") and ListOps (tab).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

struct ItemFile {
  std::vector<Problem> problems;
  struct Refused {
    std::string id;
    std::string reason;
    int64_t number = 0;  // among all items of the file, from 1
  };
  std::vector<Refused> refused;  // items that could not be read; they count as wrong
};

// Throws std::runtime_error naming the file when it is missing or in none of these formats; a bad item is
// listed, not thrown.
ItemFile read_items(const std::filesystem::path& file);

// The nine exam questions, built in. An item of MEMBER_RULE becomes the general question.
std::vector<Problem> exam_problems();

}  // namespace giantrabbit::data
