// What processes agree on, and what they say when one of them is gone; what a launcher's environment means.
#include "train/process_group.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "tests/support/tensor_matchers.h"
#include "tests/train/processes.h"
#include "tests/train/tiny_run.h"
#include "train/launch.h"

namespace giantrabbit::train {
namespace {

TEST(ProcessGroupTest, AGroupOfOneDoesNothing) {
  const ProcessGroup group;
  EXPECT_EQ(group.size(), 1);
  EXPECT_TRUE(group.is_first());
  EXPECT_EQ(group.sum({1.5}), std::vector<double>{1.5});
  torch::Tensor values = torch::ones({2});
  group.start_sum(values)();
  group.broadcast(values);
  EXPECT_TRUE(test_support::tensors_equal(values, torch::ones({2})));
  group.require_same("nothing", "");
  bool acted = false;
  group.first_only([&] { acted = true; });
  EXPECT_TRUE(acted);
}

TEST(ProcessGroupTest, ThreeProcessesAgree) {
  std::atomic<int> actions = 0;
  as_processes(3, [&](const ProcessGroup& group) {
    const int rank = group.rank();
    // Sums of doubles: a float would lose the one.
    EXPECT_EQ(group.sum({std::ldexp(1.0, 40) + rank, -1}),
              (std::vector<double>{3 * std::ldexp(1.0, 40) + 3, -3}));
    torch::Tensor first = torch::full({3}, 1.0 * rank), flags = torch::full({2}, rank == 0, torch::kBool);
    group.broadcast(first);
    group.broadcast(flags);
    EXPECT_TRUE(test_support::tensors_equal(first, torch::zeros({3})));
    EXPECT_TRUE(flags.all().item<bool>());
    torch::Tensor one = torch::full({2}, rank), two = torch::full({1}, 2 * rank);
    const auto wait_for_one = group.start_sum(one), wait_for_two = group.start_sum(two);
    wait_for_two();
    wait_for_one();
    EXPECT_EQ(one[1].item<int64_t>(), 3);
    EXPECT_EQ(two[0].item<int64_t>(), 6);
    group.first_only([&] { ++actions; });
    EXPECT_EQ(actions, 1);
    group.require_same("the weights", "same");
  });
}

TEST(ProcessGroupTest, WhoeverDiffersSaysSo) {
  as_processes(2, [](const ProcessGroup& group) {
    const std::string error =
        tiny::error_of([&] { group.require_same("the text", group.is_first() ? "a" : "b"); });
    EXPECT_EQ(error, group.is_first() ? "no error" : "the text differs from that of rank 0");
  });
}

// What the processes that stay hear when the last one leaves.
std::vector<std::string> errors_without_the_last(int size) {
  std::vector<std::string> errors(static_cast<size_t>(size));
  const auto start = std::chrono::steady_clock::now();
  as_processes(size, [&](const ProcessGroup& group) {
    (void)group.sum({1});
    if (group.rank() == size - 1) return;
    errors[static_cast<size_t>(group.rank())] = tiny::error_of([&] { (void)group.sum({1}); });
  });
  // A connection that closes is noticed at once, the roll call takes seconds; only silence takes a minute.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  return errors;
}

TEST(ProcessGroupTest, TheLostProcessIsNamed) {
  EXPECT_TRUE(errors_without_the_last(2)[0].starts_with("rank 1 is lost"));
  const std::vector<std::string> errors = errors_without_the_last(4);
  for (size_t rank = 0; rank < 3; ++rank)
    EXPECT_TRUE(errors[rank].starts_with("rank 3 is lost")) << errors[rank];
}

TEST(ProcessGroupTest, TwoProcessesOfOneRankAreRefused) {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  store->add("here/1", 1);
  EXPECT_EQ(tiny::error_of([&] { ProcessGroup(store, 1, 2); }),
            "two processes of one group are rank 1 (RANK)");
}

class LaunchTest : public ::testing::Test {
 protected:
  ~LaunchTest() override {
    for (const char* name : names_) unsetenv(name);
  }
  static std::string error_with(const std::map<std::string, std::string>& variables) {
    for (const char* name : names_) unsetenv(name);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    return tiny::error_of([] { (void)launch_from_environment(); });
  }
  static constexpr std::array names_ = {"RANK",
                                        "WORLD_SIZE",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_USE_AGENT_STORE",
                                        "TORCHELASTIC_RESTART_COUNT"};
};

TEST_F(LaunchTest, ReadsWhatALauncherSets) {
  EXPECT_EQ(error_with({}), "no error");
  EXPECT_EQ(launch_from_environment().size, 1);
  EXPECT_EQ(error_with({{"RANK", "0"}, {"WORLD_SIZE", "1"}}), "no error") << "a group of one meets nobody";
  std::map<std::string, std::string> variables = {
      {"RANK", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}};
  EXPECT_EQ(error_with(variables), "no error");
  Launch launch = launch_from_environment();
  EXPECT_EQ(launch.rank, 2);
  EXPECT_EQ(launch.size, 3);
  EXPECT_EQ(launch.address, "host");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_FALSE(launch.keeps_meeting_point);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  variables["TORCHELASTIC_RESTART_COUNT"] = "4";
  EXPECT_EQ(error_with(variables), "no error");
  launch = launch_from_environment();
  EXPECT_TRUE(launch.keeps_meeting_point);
  EXPECT_EQ(launch.restart, "4");
}

TEST_F(LaunchTest, RefusesWhatNoLauncherSets) {
  EXPECT_TRUE(error_with({{"RANK", "0"}}).starts_with("WORLD_SIZE is not set: a launcher sets RANK"));
  EXPECT_TRUE(error_with({{"WORLD_SIZE", "2"}}).starts_with("RANK is not set"));
  EXPECT_EQ(error_with({{"RANK", "2"}, {"WORLD_SIZE", "2"}}),
            "RANK: expected an integer from 0 to 1, got '2'");
  EXPECT_EQ(error_with({{"RANK", "0"}, {"WORLD_SIZE", "two"}}),
            "WORLD_SIZE: expected an integer from 1 to 4096, got 'two'");
  EXPECT_TRUE(error_with({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).starts_with("MASTER_ADDR is not set"));
  EXPECT_EQ(error_with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
            "MASTER_PORT: expected an integer from 1 to 65535, got '70000'");
}

}  // namespace
}  // namespace giantrabbit::train
