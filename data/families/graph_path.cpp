// PATH: which of two nodes can be reached from a start along directed edges, with the path as proof. Chain:
// one edge of the path a line:
//   PATH 5 9 3 ; 5 7 1 3 7 9 ;   5 7 NL 7 9 NL ANS 9 EOS     (start 5, 9 or 3; edges 5>7 1>3 7>9)
// Kept invariant: exactly one of the two nodes can be reached. Every path along edges is a proof; the
// reference is a shortest one.
#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/families/lists.h"
#include "data/json_values.h"

namespace giantrabbit::data {
namespace {

constexpr int most_node = 60;
constexpr size_t least_path = 3;  // edges, of generated problems
constexpr double second_parent_share = .6;

struct Graph {
  int start = 0;
  Numbers targets;  // two
  Numbers edges;    // from, to, from, to, ..
  bool has_edge(int from, int to) const {
    for (size_t i = 0; i < edges.size(); i += 2) {
      if (edges[i] == from && edges[i + 1] == to) return true;
    }
    return false;
  }
};

// The nodes of a shortest path, start and end included; empty when there is none. Breadth first, edges in
// their order.
Numbers shortest_path(const Graph& graph, int end) {
  std::map<int, int> from = {{graph.start, graph.start}};
  Numbers queue = {graph.start};
  for (size_t next = 0; next < queue.size() && !from.contains(end); ++next) {
    for (size_t i = 0; i < graph.edges.size(); i += 2) {
      if (graph.edges[i] != queue[next] || !from.emplace(graph.edges[i + 1], queue[next]).second) continue;
      queue.push_back(graph.edges[i + 1]);
    }
  }
  if (!from.contains(end)) return {};
  Numbers path = {end};
  while (path.back() != graph.start) path.push_back(from.at(path.back()));
  return {path.rbegin(), path.rend()};
}

class PathJudge final : public ChainJudge {
 public:
  PathJudge(Graph graph, int goal, ChainFormat format)
      : graph_(std::move(graph)), goal_(goal), here_(graph_.start), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    WordReader reader(*words);
    const auto edge = reader.values(2);
    if (!edge || !reader.done() || words->size() != 2) {
      refuse(verdict, ErrorClass::format, "the line is not readable (two nodes)");
      return verdict;
    }
    const auto from = static_cast<int>((*edge)[0].numerator());
    const auto to = static_cast<int>((*edge)[1].numerator());
    if (from != here_) {
      refuse(verdict, ErrorClass::stale_row, fmt::format("the path has come to {}, not to {}", here_, from));
    } else if (!graph_.has_edge(from, to)) {
      refuse(verdict, ErrorClass::arithmetic, fmt::format("there is no edge from {} to {}", from, to));
    } else {
      verdict.valid = true;
    }
    here_ = to;
    return verdict;
  }

  bool complete() const override { return here_ == goal_; }

 private:
  Graph graph_;
  int goal_;
  int here_;  // where the model's own path has come to
  ChainFormat format_;
};

// Nodes in a random order, each with one or two edges from earlier ones; the first two have none.
Graph draw_graph(CounterRng& rng, size_t nodes) {
  Numbers names(most_node + 1);
  std::iota(names.begin(), names.end(), 0);
  for (size_t i = 0; i < nodes; ++i) {
    std::swap(names[i], names[static_cast<size_t>(rng.uniform(static_cast<int64_t>(i), most_node))]);
  }
  std::vector<std::pair<int, int>> edges;
  for (size_t node = 2; node < nodes; ++node) {
    const auto last = static_cast<int64_t>(node) - 1;
    const auto first = rng.uniform(0, last);
    const auto second = rng.chance(second_parent_share) ? rng.uniform(0, last) : first;
    edges.emplace_back(names[static_cast<size_t>(first)], names[node]);
    if (second != first) edges.emplace_back(names[static_cast<size_t>(second)], names[node]);
  }
  Graph graph{names[0], {}, {}};
  while (!edges.empty()) {  // in random order
    std::swap(edges.back(), edges[static_cast<size_t>(rng.uniform(0, std::ssize(edges) - 1))]);
    graph.edges.push_back(edges.back().first);
    graph.edges.push_back(edges.back().second);
    edges.pop_back();
  }
  Numbers far, unreachable;
  for (size_t node = 2; node < nodes; ++node) {
    const Numbers path = shortest_path(graph, names[node]);
    if (path.size() > least_path) far.push_back(names[node]);
    if (path.empty()) unreachable.push_back(names[node]);
  }
  if (far.empty() || unreachable.empty()) return graph;
  for (const Numbers* choice : {&far, &unreachable}) {
    graph.targets.push_back((*choice)[static_cast<size_t>(rng.uniform(0, std::ssize(*choice) - 1))]);
  }
  if (rng.chance(.5)) std::swap(graph.targets[0], graph.targets[1]);
  return graph;
}

class GraphPath final : public ChainFamily {
 public:
  GraphPath(int least, int most) : least_(least), most_(most) {}

  std::string_view name() const override { return "PATH"; }
  std::string_view summary() const override {
    return "given a start, two nodes and directed edges, asks which of the two can be reached";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"PATH"}};
    return words;
  }

  Problem generate(CounterRng& rng) const override {
    for (;;) {
      const Graph graph = draw_graph(rng, static_cast<size_t>(rng.uniform(least_, most_)));
      if (!graph.targets.empty()) return {"", write(graph)};
    }
  }

  // {"start": 5, "targets": [9, 3], "edges": [[5, 7], ..]}
  Problem from_json(const nlohmann::json& given) const override {
    Graph graph{json_whole(given, "start", -most_node, most_node), json_numbers(given, "targets"), {}};
    for (const auto& edge : json_field(given, "edges")) {
      const Numbers nodes = json_numbers({{"edges", edge}}, "edges");
      if (nodes.size() != 2)
        throw ProblemError(fmt::format("given.edges: expected [from, to], got {}", edge.dump()));
      graph.edges.insert(graph.edges.end(), nodes.begin(), nodes.end());
    }
    return checked(write(graph));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Graph graph = read(prompt);
    const Numbers path = shortest_path(graph, goal(graph));
    Words words;
    for (size_t i = 0; i + 1 < path.size() && format != ChainFormat::answer_only; ++i) {
      for (const int node : {path[i], path[i + 1]}) words.push_back(std::to_string(node));
      words.emplace_back("NL");
    }
    words.emplace_back("ANS");
    words.push_back(std::to_string(path.back()));
    words.emplace_back("EOS");
    return words;
  }

  // Edges and targets in any order are one problem.
  std::string canonical(const Words& prompt) const override {
    const Graph graph = read(prompt);
    std::vector<Numbers> edges;
    for (size_t i = 0; i < graph.edges.size(); i += 2) edges.push_back({graph.edges[i], graph.edges[i + 1]});
    std::sort(edges.begin(), edges.end());
    Numbers targets = graph.targets;
    std::sort(targets.begin(), targets.end());
    std::string text = fmt::format("{}|{}|{}|", name(), graph.start, numbers_text(targets));
    for (const Numbers& edge : edges) text += numbers_text(edge) + ";";
    return text;
  }

  std::string stratum(const Words& prompt) const override {
    const Graph graph = read(prompt);
    return fmt::format("{} edges to go", shortest_path(graph, goal(graph)).size() - 1);
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    const Graph graph = read(prompt);
    return std::make_unique<PathJudge>(graph, goal(graph), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    WordReader reader(answer);
    const auto node = reader.value();
    if (!node || answer.size() != 1) return std::nullopt;
    return *node == Rational(goal(read(prompt)));
  }

 private:
  static int goal(const Graph& graph) {
    return graph.targets[shortest_path(graph, graph.targets[0]).empty() ? 1 : 0];
  }

  Words write(const Graph& graph) const {
    Words prompt = {std::string(name())};
    Numbers question = {graph.start};
    question.insert(question.end(), graph.targets.begin(), graph.targets.end());
    append_list(prompt, question);
    append_list(prompt, graph.edges);
    return prompt;
  }

  Graph read(const Words& prompt) const {
    const auto end = std::find(prompt.begin(), prompt.end(), ";");
    const bool parts = !prompt.empty() && prompt.front() == name() && end != prompt.end();
    const auto question = parts ? read_list(std::span(prompt.begin() + 1, end + 1)) : std::nullopt;
    const auto edges = parts ? read_list(std::span(end + 1, prompt.end())) : std::nullopt;
    if (!question || question->size() != 3 || !edges || edges->size() % 2 != 0) {
      throw ProblemError(fmt::format(
          "{}: expected start and two nodes, then edges (\"{} 5 9 3 ; 5 7 1 3 7 9 ;\"), got \"{}\"", name(),
          name(), join_words(prompt)));
    }
    Graph graph{question->front(), {question->begin() + 1, question->end()}, *edges};
    const auto reached = std::count_if(graph.targets.begin(), graph.targets.end(),
                                       [&](int node) { return !shortest_path(graph, node).empty(); });
    if (reached != 1) {
      throw ProblemError(fmt::format("{}: exactly one of {} and {} must be reachable from {}, {} are", name(),
                                     graph.targets[0], graph.targets[1], graph.start, reached));
    }
    return graph;
  }

  int least_;
  int most_;
};

}  // namespace

std::vector<FamilyTask> graph_path_tasks() {
  return {{"graph-path", std::make_shared<GraphPath>(12, 24)},
          {"graph-path-48", std::make_shared<GraphPath>(48, 48)}};
}

}  // namespace giantrabbit::data
