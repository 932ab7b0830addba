#include "comm/nccl/nccl_comm.h"

#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "backend/cuda/cuda_error.h"
#include "base/error.h"

namespace shardlora {

namespace {

using nccl::Result;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr microseconds kSpin(200);

const char* advice(Result result) {
  switch (result) {
    case nccl::kUnhandledCudaError:
    case nccl::kSystemError:
      return "NCCL_DEBUG=INFO shows the call that failed; in a container it is mostly memory of the host: try "
             "NCCL_CUMEM_HOST_ENABLE=0, and start the container with --shm-size=1g";
    case nccl::kRemoteError: return "see what the other ranks printed, and the network between the hosts";
    case nccl::kInvalidUsage:
      return "has each rank a GPU of its own, and are libnccl.so.2 and the driver the same everywhere?";
    default: return "NCCL_DEBUG=INFO shows more";
  }
}

// Runs what may hang; false if it has not returned in time. It then stays on a thread that nobody waits for.
bool within(milliseconds time, std::function<void()> call) {
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> future = done->get_future();
  std::thread([done, call = std::move(call)] {
    call();
    done->set_value();
  }).detach();
  return future.wait_for(time) == std::future_status::ready;
}

}  // namespace

NcclComm::NcclComm(Rendezvous& rendezvous, Transport& peers, const NcclLimits& limits)
    : nccl_(nccl::table()), peers_(peers), limits_(limits) {
  cuda::check(cudaGetDevice(&ordinal_), "asking which GPU is chosen");
  nccl::UniqueId id{};
  Result made = nccl::kSuccess;
  if (rendezvous.rank() == 0) made = nccl_.get_unique_id(&id);
  if (made != nccl::kSuccess) failed(made, "making the id of a communicator");
  const std::string said = rendezvous.exchange({id.internal, sizeof id.internal})[0];
  CHECK(said.size() == sizeof id.internal, "the id of a communicator came as {} bytes", said.size());
  std::memcpy(id.internal, said.data(), sizeof id.internal);

  nccl::Config config;
  try {
    settle(nccl_.comm_init_rank_config(&comm_, rendezvous.size(), id, rendezvous.rank(), &config),
           "connecting the ranks");
  } catch (const PeerFailed&) {
    end(false);
    throw;
  } catch (...) {
    peers_.abort();  // before the other ranks' calls break
    end(false);
    throw;
  }
}

// A call may still be at work when it returns, on a thread of NCCL's; the next one has to wait for it. That takes some
// tens of microseconds, less than any sleep: the kernel adds 50 us of slack to each.
void NcclComm::settle(Result result, const char* what) {
  const auto start = steady_clock::now();
  for (int turn = 0; result == nccl::kInProgress; ++turn) {
    const auto waited = steady_clock::now() - start;
    if (waited < kSpin)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(waited < milliseconds(20) ? microseconds(20) : microseconds(500));
    if (turn % 64 == 63) peers_.check();
    if (waited >= limits_.start)
      fail(
          "NCCL: {}: nothing happened for {} s; NCCL_DEBUG=INFO shows where it waits; between cards that cannot reach "
          "each other NCCL_P2P_DISABLE=1 helps, between hosts NCCL_SOCKET_IFNAME",
          what, std::chrono::duration<double>(limits_.start).count());
    if (nccl_.comm_get_async_error(comm_, &result) != nccl::kSuccess) result = nccl::kInternalError;
  }
  if (result != nccl::kSuccess) failed(result, what);
}

void NcclComm::failed(Result result, const char* what) {
  peers_.check();  // a rank that stopped breaks the calls of the others
  // Of one that did not tell before its connection broke, the word comes a little later.
  for (int i = 0; i < 200 && result == nccl::kRemoteError; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    peers_.check();
  }
  const char* const told = nccl_.last_error(comm_);
  const std::string detail = told != nullptr && *told != '\0' ? fmt::format(" ({})", told) : "";
  fail("NCCL: {}: {}{}; {}", what, nccl_.error_string(result), detail, advice(result));
}

void NcclComm::check() {
  Result error = nccl::kSuccess;
  if (nccl_.comm_get_async_error(comm_, &error) != nccl::kSuccess) error = nccl::kInternalError;
  if (error != nccl::kSuccess && error != nccl::kInProgress) failed(error, "a collective");
}

bool NcclComm::end(bool orderly) noexcept {
  if (comm_ == nullptr) return true;
  return within(limits_.ending, [&nccl = nccl_, comm = std::exchange(comm_, nullptr), ordinal = ordinal_, orderly,
                                 limit = limits_.ending] {
    cudaSetDevice(ordinal);  // NCCL gives a thread back the GPU that it had: GPU 0 where it had chosen none
    Result result = orderly ? nccl.comm_finalize(comm) : nccl::kInternalError;
    const auto deadline = steady_clock::now() + limit;
    while (result == nccl::kInProgress && steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(1));
      if (nccl.comm_get_async_error(comm, &result) != nccl::kSuccess) break;
    }
    if (result == nccl::kSuccess)
      nccl.comm_destroy(comm);
    else
      nccl.comm_abort(comm);
  });
}

}  // namespace shardlora
