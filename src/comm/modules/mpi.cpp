// The MPI module: see comm/mpi_module.h. Only point-to-point messages and a barrier are used, all polled: a blocking
// call would spin on a core that the kernels need, and could not be ended when another rank stops.
#define OMPI_SKIP_MPICXX  // the C++ bindings of old do not pass our warnings, and nobody needs them
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "comm/mpi_module.h"

namespace {

using shardlora::MpiModule;

constexpr std::size_t kMessageBytes = std::size_t{1} << 30;  // counts are ints
enum Tag { kData = 1, kAbort = 2 };

struct Communicator {
  MPI_Comm comm = MPI_COMM_NULL;
  std::atomic<bool> aborted{false};  // by this rank
};

int rank_of(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

// The rank that aborted, or -1.
int abort_seen(Communicator& c) {
  if (c.aborted) return rank_of(c.comm);
  int there = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, kAbort, c.comm, &there, &status);  // it is never received: every later call sees it too
  return there != 0 ? status.MPI_SOURCE : -1;
}

// Until all requests are done (-1) or a rank aborted. Awake at first, then in ever longer naps of at most 200 us.
int wait_for(Communicator& c, std::vector<MPI_Request>& requests) {
  for (int turn = 0;; ++turn) {
    int done = 0;
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    if (done != 0) return -1;
    if (turn % 8 == 0)
      if (const int rank = abort_seen(c); rank >= 0) return rank;
    if (turn < 64)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(turn < 256 ? 20 : 200));
  }
}

const char* initialize() {
  static std::string problem;
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    problem = "MPI_Init_thread failed";
    return problem.c_str();
  }
  if (provided < MPI_THREAD_MULTIPLE) {
    problem = "this MPI library was built without MPI_THREAD_MULTIPLE";
    return problem.c_str();
  }
  return nullptr;
}

int rank() { return rank_of(MPI_COMM_WORLD); }

int size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

void* duplicate() {
  static std::deque<Communicator> all;  // few, and they live as long as MPI does
  Communicator& c = all.emplace_back();
  MPI_Comm_dup(MPI_COMM_WORLD, &c.comm);
  return &c;
}

int exchange(void* communicator, const std::byte* const* send, const std::size_t* send_bytes, std::byte* const* receive,
             const std::size_t* receive_bytes) {
  auto& c = *static_cast<Communicator*>(communicator);
  const int me = rank(), ranks = size();
  std::vector<MPI_Request> requests;
  std::size_t receives = 0;
  for (int k = 1; k < ranks; ++k) {
    const int r = (me + ranks - k) % ranks;
    for (std::size_t at = 0; at < receive_bytes[r]; at += kMessageBytes) {
      const auto bytes = static_cast<int>(std::min(kMessageBytes, receive_bytes[r] - at));
      MPI_Irecv(receive[r] + at, bytes, MPI_BYTE, r, kData, c.comm, &requests.emplace_back());
    }
  }
  receives = requests.size();
  for (int k = 1; k < ranks; ++k) {
    const int r = (me + k) % ranks;
    for (std::size_t at = 0; at < send_bytes[r]; at += kMessageBytes) {
      const auto bytes = static_cast<int>(std::min(kMessageBytes, send_bytes[r] - at));
      MPI_Isend(send[r] + at, bytes, MPI_BYTE, r, kData, c.comm, &requests.emplace_back());
    }
  }
  const int culprit = wait_for(c, requests);
  if (culprit >= 0)  // nothing may land in the caller's memory any more
    for (std::size_t i = 0; i < receives; ++i)
      if (requests[i] != MPI_REQUEST_NULL) {
        MPI_Cancel(&requests[i]);
        MPI_Request_free(&requests[i]);
      }
  return culprit;
}

int barrier(void* communicator) {
  auto& c = *static_cast<Communicator*>(communicator);
  std::vector<MPI_Request> request(1);
  MPI_Ibarrier(c.comm, request.data());
  return wait_for(c, request);
}

void abort_communicator(void* communicator) {
  auto& c = *static_cast<Communicator*>(communicator);
  if (c.aborted.exchange(true)) return;
  const int me = rank(), ranks = size();
  for (int r = 0; r < ranks; ++r) {
    if (r == me) continue;
    MPI_Request request;
    MPI_Isend(nullptr, 0, MPI_BYTE, r, kAbort, c.comm, &request);  // no bytes: leaves at once, whoever is listening
    MPI_Request_free(&request);
  }
}

int aborted(void* communicator) { return abort_seen(*static_cast<Communicator*>(communicator)); }

void abort_job(int exit_code) { MPI_Abort(MPI_COMM_WORLD, exit_code); }

void finalize() { MPI_Finalize(); }

}  // namespace

extern "C" __attribute__((visibility("default"))) const MpiModule* shardlora_mpi_module() {
  static const MpiModule module{initialize,         rank,    size,      duplicate, exchange, barrier,
                                abort_communicator, aborted, abort_job, finalize};
  return &module;
}
