// See process_group.h. The only file that knows Gloo, whose headers it needs and whose library it does not:
// all of it that is called lies in libtorch_cpu. Tensors on a GPU would go to a ProcessGroupNCCL beside Gloo
// here.
#include "train/process_group.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "data/split.h"

namespace giantrabbit::train {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

constexpr seconds meeting_time(60);
constexpr seconds tolerance(20);  // for a process that is late
// Closed connections are noticed at once all the same.
constexpr seconds no_limit = std::chrono::hours(1000);
constexpr seconds roll_call_time(3);

class Gloo : public c10d::ProcessGroupGloo {
 public:
  using ProcessGroupGloo::ProcessGroupGloo;
  // Ends what is going on, here and in the processes that wait for this one.
  void close() {
    for (const auto& context : contexts_) context->closeConnections();
  }
};

// While it lives LibTorch logs nothing: its pages about sockets that do not answer are one sentence here.
class Silence {
 public:
  Silence() : level_(std::exchange(FLAGS_caffe2_log_level, /*fatal=*/3)) {}
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() { FLAGS_caffe2_log_level = level_; }

 private:
  int level_;
};

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> gloo_options(bool on_this_machine) {
  if (!on_this_machine) return c10d::ProcessGroupGloo::Options::create_default(meeting_time);
  auto options = c10d::ProcessGroupGloo::Options::create(meeting_time);
  options->devices = {c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")};
  return options;
}

StorePointer meeting_point(const Launch& launch) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = launch.rank == 0 && !launch.keeps_meeting_point;
  options.waitWorkers = false;
  options.timeout = meeting_time / 2;  // of one attempt; there are two
  const Silence silence;
  try {
    return c10::make_intrusive<c10d::PrefixStore>(
        "giantrabbit/" + launch.restart, c10::make_intrusive<c10d::TCPStore>(launch.address, options));
  } catch (const std::exception&) {
    throw std::runtime_error(
        options.isServer
            ? fmt::format("{}:{} (MASTER_ADDR, MASTER_PORT) cannot be listened at: another "
                          "program may hold the port",
                          launch.address, launch.port)
            : fmt::format("nobody answers at {}:{} (MASTER_ADDR, MASTER_PORT)", launch.address, launch.port));
  }
}

}  // namespace

class ProcessGroup::Connection {
 public:
  Connection(StorePointer store, int rank, int size, bool on_this_machine, bool keeps_store);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { gloo_->close(); }

  // Starts an operation with `start(gloo, time limit)`; what it returns waits for its end.
  template <typename Start>
  std::function<void()> begin(milliseconds limit, const Start& start);
  double slowest_update = 0;
  milliseconds patience = meeting_time;  // until the first update is done

 private:
  // Ranks other than this one that have not set the key of their number under `name` in time.
  std::vector<int> absent(const std::string& name, seconds limit) const;
  [[noreturn]] void report_loss();

  StorePointer store_;
  int rank_, size_;
  bool keeps_store_;
  c10::intrusive_ptr<Gloo> gloo_;
};

ProcessGroup::Connection::Connection(StorePointer store, int rank, int size, bool on_this_machine,
                                     bool keeps_store)
    : store_(std::move(store)), rank_(rank), size_(size), keeps_store_(keeps_store) {
  if (store_->add(fmt::format("here/{}", rank), 1) > 1) {
    throw std::runtime_error(fmt::format("two processes of one group are rank {} (RANK)", rank));
  }
  if (const std::vector<int> missing = absent("here", meeting_time); !missing.empty()) {
    throw std::runtime_error(fmt::format("rank {} of {} did not come within {} s", fmt::join(missing, ", "),
                                         size, meeting_time.count()));
  }
  const Silence silence;
  try {
    gloo_ = c10::make_intrusive<Gloo>(store_, rank, size, gloo_options(on_this_machine));
  } catch (const std::exception&) {
    report_loss();
  }
}

std::vector<int> ProcessGroup::Connection::absent(const std::string& name, seconds limit) const {
  const Silence silence;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::vector<int> result;
  for (int rank = 0; rank < size_; ++rank) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    try {
      if (rank != rank_) store_->wait({fmt::format("{}/{}", name, rank)}, std::max(left, milliseconds(10)));
    } catch (const std::exception&) {
      result.push_back(rank);
    }
  }
  return result;
}

// Closing first makes those fail as well that wait for this process only, so that whoever lives answers the
// roll call. In a pair there is nobody else to ask.
void ProcessGroup::Connection::report_loss() {
  if (gloo_) gloo_->close();
  std::vector<int> lost = {1 - rank_};
  if (size_ > 2) {
    try {
      store_->add(fmt::format("alive/{}", rank_), 1);
      lost = absent("alive", roll_call_time);
      if (keeps_store_) std::this_thread::sleep_for(seconds(1));  // the others still ask
    } catch (const std::exception&) {
      lost = {0};  // who keeps the store
    }
  }
  const auto waited = std::chrono::duration_cast<seconds>(patience).count();
  throw std::runtime_error(lost.empty() ? "a connection between the processes broke"
                                        : fmt::format("rank {} is lost: it ended, or did not answer for {} s",
                                                      fmt::join(lost, ", "), waited));
}

template <typename Start>
std::function<void()> ProcessGroup::Connection::begin(milliseconds limit, const Start& start) {
  try {
    return [this, work = start(*gloo_, limit)] {
      try {
        work->wait();
      } catch (const std::exception&) {
        report_loss();
      }
    };
  } catch (const std::exception&) {
    report_loss();
  }
}

ProcessGroup::ProcessGroup() = default;
ProcessGroup::ProcessGroup(ProcessGroup&&) noexcept = default;
ProcessGroup& ProcessGroup::operator=(ProcessGroup&&) noexcept = default;
ProcessGroup::~ProcessGroup() = default;

ProcessGroup::ProcessGroup(const Launch& launch) : rank_(launch.rank), size_(launch.size) {
  if (size_ == 1) return;
  connection_ = std::make_unique<Connection>(meeting_point(launch), rank_, size_, is_loopback(launch.address),
                                             rank_ == 0 && !launch.keeps_meeting_point);
}

ProcessGroup::ProcessGroup(c10::intrusive_ptr<c10d::Store> store, int rank, int size)
    : rank_(rank), size_(size) {
  if (size_ > 1) connection_ = std::make_unique<Connection>(std::move(store), rank, size, true, rank == 0);
}

std::function<void()> ProcessGroup::start_sum(at::Tensor values) const {
  if (!connection_) return [] {};
  return connection_->begin(connection_->patience, [&](Gloo& gloo, milliseconds limit) {
    std::vector<at::Tensor> tensors = {std::move(values)};
    c10d::AllreduceOptions options;
    options.timeout = limit;
    return gloo.allreduce(tensors, options);
  });
}

std::vector<double> ProcessGroup::sum(std::vector<double> values) const {
  if (!connection_) return values;
  start_sum(at::from_blob(values.data(), {std::ssize(values)}, at::kDouble))();
  return values;
}

void ProcessGroup::broadcast(const at::Tensor& values) const {
  if (!connection_) return;
  connection_->begin(connection_->patience, [&](Gloo& gloo, milliseconds limit) {
    // As bytes: Gloo does not know every type.
    std::vector<at::Tensor> tensors = {
        at::from_blob(values.data_ptr(), {static_cast<int64_t>(values.nbytes())}, at::kByte)};
    c10d::BroadcastOptions options;
    options.timeout = limit;
    return gloo.broadcast(tensors, options);
  })();
}

void ProcessGroup::require_same(std::string_view what, std::string_view bytes) const {
  if (!connection_) return;
  const auto own = static_cast<int64_t>(data::fnv1a64(bytes));
  int64_t first = own;
  broadcast(at::from_blob(&first, {1}, at::kLong));
  if (first != own) throw std::runtime_error(fmt::format("{} differs from that of rank 0", what));
}

void ProcessGroup::first_only(const std::function<void()>& action) const {
  if (is_first()) action();
  if (!connection_) return;
  connection_->begin(no_limit, [&](Gloo& gloo, milliseconds limit) {
    c10d::BarrierOptions options;
    options.timeout = limit;
    return gloo.barrier(options);
  })();
}

void ProcessGroup::expect_updates_of(double seconds) const {
  if (!connection_) return;
  connection_->slowest_update = std::max(connection_->slowest_update, seconds);
  connection_->patience = tolerance + milliseconds(std::llround(2000 * connection_->slowest_update));
}

}  // namespace giantrabbit::train
