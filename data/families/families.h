// The families by name of their source file. In: nothing. Out: one stateless object each, alive for the whole
// program. Use find_family() (data/problem.h) unless you need a special one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

const Family& row_reduction();      // RREF, 2x3 .. 3x5
const Family& row_reduction_4x5();  // RREF too, but generates 4x5 only

// The nine questions of the exam, in its order.
const Family& solution_set();  // SOLSET
const Family& undo();          // UNDO
const Family& null_space();    // NULL
const Family& column_space();  // COLSP
const Family& block();         // BLOCK
const Family& fact_count();    // FACT_COUNT
const Family& fact_spaces();   // FACT_SPACES
const Family& member_rule();   // MEMBER_RULE
const Family& member();        // MEMBER

// The other domains: their tasks, families of one name differing in the sizes that they generate. The first
// family of a name is the one that find_family() knows.
struct FamilyTask {
  std::string name;
  std::shared_ptr<const Family> family;
};
std::vector<FamilyTask> gauss_jordan_tasks();    // GF2, GF3, with idle rows too (needle)
std::vector<FamilyTask> multiplication_tasks();  // MUL
std::vector<FamilyTask> addition_tasks();        // ADD
std::vector<FamilyTask> sorting_tasks();         // SORT
std::vector<FamilyTask> list_ops_tasks();        // LISTOPS
std::vector<FamilyTask> recall_tasks();          // RECALL
std::vector<FamilyTask> copying_tasks();         // COPY, REVERSE, LONG_COPY
std::vector<FamilyTask> counting_tasks();        // MAJORITY, COUNT
std::vector<FamilyTask> graph_path_tasks();      // PATH
std::vector<FamilyTask> letter_sorting_tasks();  // ABC
// All of them; made once.
const std::vector<FamilyTask>& domain_tasks();

// ABC of any size by its task, "abc-sort-5x12" for 5 letters and length 12: 2 to 26 letters, length 1 to 64;
// null for other texts.
const Family* find_letter_sorting(std::string_view task);

}  // namespace giantrabbit::data
