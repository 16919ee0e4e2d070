// In: items as others wrote them. Out: problems. Kept invariant: that of the header.
#include "data/community_items.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace giantrabbit::data {
namespace {

Words split_blanks(std::string_view text) {
  std::istringstream stream{std::string(text)};
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

void check_answer(const Problem& problem, Words answer) {
  const std::string text = join_words(answer);
  answer.insert(answer.begin(), "ANS");
  answer.emplace_back("EOS");
  const Family& family = find_family(problem.prompt.at(0));
  if (family.judge(problem.prompt, answer, ChainFormat::answer_only).answer_right) return;
  const Words right = family.solve(problem.prompt, ChainFormat::answer_only);
  throw ProblemError(fmt::format("the item's own answer \"{}\" is not right, expected \"{}\"", text,
                                 join_words(std::span(right).subspan(1, right.size() - 2))));
}

bool is_digit(std::string_view text) { return text.size() == 1 && text[0] >= '0' && text[0] <= '9'; }

std::string_view stripped(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// Of a line of ListOps, whichever column comes first.
std::pair<std::string_view, std::string_view> label_and_expression(std::string_view line) {
  const size_t tab = line.find('\t');
  std::string_view label = stripped(line.substr(0, tab));
  std::string_view expression = tab == std::string_view::npos ? "" : stripped(line.substr(tab + 1));
  if (is_digit(expression)) std::swap(label, expression);
  return {label, expression};
}

// Statements "Every A is a B", "Tom is a B" and the question "Is Tom a B or C" of one item.
class StatementReader {
 public:
  explicit StatementReader(const std::string& text) {
    std::string sentence;
    for (const char letter : text) {
      if (letter != '.' && letter != '?') {
        sentence += letter;
      } else if (const Words words = split_blanks(std::exchange(sentence, {})); !words.empty()) {
        read(words);
      }
    }
    if (targets_.size() != 2) throw ProblemError("question: expected \"Is .. a .. or ..?\" at its end");
  }

  nlohmann::json given() const { return {{"start", start_}, {"targets", targets_}, {"edges", edges_}}; }

  int node(const std::string& name) {
    return nodes_.emplace(name, static_cast<int>(nodes_.size())).first->second;
  }

 private:
  static bool is_article(const std::string& word) { return word == "a" || word == "an"; }

  void read(Words words) {
    if (words[0] == "Is" && words.size() > 2) {
      const std::string name = words[1];
      std::erase_if(words, is_article);
      if (words.size() != 5 || words[3] != "or") fail(words);
      start_ = node(name);
      targets_ = {node(words[2]), node(words[4])};
      return;
    }
    if (words[0] == "Every") words.erase(words.begin());
    if (words.size() != 4 || words[1] != "is" || !is_article(words[2])) fail(words);
    const int from = node(words[0]);
    edges_.push_back({from, node(words[3])});
  }

  [[noreturn]] static void fail(const Words& words) {
    throw ProblemError(fmt::format(
        "question: expected \"Every A is a B\", \"Tom is a A\" or \"Is Tom a B or C\", got \"{}\"",
        join_words(words)));
  }

  std::map<std::string, int> nodes_;
  int start_ = 0;
  std::vector<int> targets_;
  std::vector<std::vector<int>> edges_;
};

const std::string& json_text(const nlohmann::json& item, const char* field) {
  const auto found = item.find(field);
  if (found == item.end() || !found->is_string()) {
    throw ProblemError(fmt::format("\"{}\" is missing or no text", field));
  }
  return found->get_ref<const std::string&>();
}

}  // namespace

Problem read_multiplication_line(std::string_view line) {
  const size_t bars = line.find("||");
  if (bars == std::string_view::npos) {
    throw ProblemError(fmt::format("expected \"question||chain #### answer\", got \"{}\"", stripped(line)));
  }
  Problem problem = parse_problem(fmt::format("MUL {}", line.substr(0, bars)));
  const size_t hashes = line.find("####", bars);
  if (hashes != std::string_view::npos) check_answer(problem, split_blanks(line.substr(hashes + 4)));
  return problem;
}

bool has_list_ops_label(std::string_view line) { return is_digit(label_and_expression(line).first); }

Problem read_list_ops_line(std::string_view line) {
  const auto [label, expression] = label_and_expression(line);
  if (!is_digit(label)) {
    throw ProblemError(fmt::format("expected a digit, a tab and an expression, got \"{}\"", stripped(line)));
  }
  Problem problem = find_family("LISTOPS").from_json({{"expression", expression}});
  check_answer(problem, {std::string(label)});
  return problem;
}

Problem read_graph_question(const nlohmann::json& item) {
  StatementReader reader(json_text(item, "question"));
  Problem problem = find_family("PATH").from_json(reader.given());
  const Words answer = split_blanks(json_text(item, "answer"));
  if (answer.empty()) throw ProblemError("\"answer\" is empty");
  std::string name = answer.back();
  while (name.ends_with('.')) name.pop_back();
  check_answer(problem, {std::to_string(reader.node(name))});
  return problem;
}

}  // namespace giantrabbit::data
