// In: nothing. Out: the tasks of all domains beside row reduction and the exam, in one list. Kept invariant:
// task names are all different.
#include <iterator>

#include "data/families/families.h"

namespace giantrabbit::data {

const std::vector<FamilyTask>& domain_tasks() {
  static const std::vector<FamilyTask> tasks = [] {
    std::vector<FamilyTask> all;
    for (std::vector<FamilyTask> part :
         {gauss_jordan_tasks(), multiplication_tasks(), addition_tasks(), sorting_tasks(), list_ops_tasks(),
          recall_tasks(), copying_tasks(), counting_tasks(), graph_path_tasks(), letter_sorting_tasks()}) {
      std::move(part.begin(), part.end(), std::back_inserter(all));
    }
    return all;
  }();
  return tasks;
}

}  // namespace giantrabbit::data
