// A stand-in for NCCL on the emulated CUDA runtime, for ranks that are threads or processes of one host:
// libnccl_fake.so, which SHARDLORA_NCCL_LIBRARY names. As unhelpful as the real one may be, and stricter:
//   - a communicator must not block; calls answer kInProgress a few times before they are done
//   - a GPU runs one collective at a time, of whichever communicator (fake_nccl_turn.h)
//   - work starts and ends late on its stream; until it ends, what is received reads as NaN
//   - ranks that differ in the order, kind or count of what they issue end the process, with a message that names
//     both; so does memory that is not of the communicator's GPU
//   - a communicator takes memory of the GPU when a kind of collective, or a class of sizes of it, comes first
//   - two ranks on one GPU are refused
//   - a peer that is gone is never noticed; only ncclCommAbort ends what waits for it
// emulation::fail_call makes any entry point return a code; kHang and kFailLater are not NCCL's.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bit>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/nccl/nccl_table.h"
#include "emulation/fake_nccl.h"
#include "emulation/fake_nccl_turn.h"
#include "emulation/runtime.h"

using namespace shardlora::nccl;

namespace {

constexpr int kMostRanks = 8;
constexpr std::size_t kRing = std::size_t{128} << 10;
constexpr std::size_t kBuffers = std::size_t{3} << 20;  // of a kind of collective and a class of sizes

// NCCL's choice of algorithm and protocol, of which each has buffers of its own.
int size_class(std::size_t bytes) { return static_cast<int>(std::bit_width(bytes)); }

// What travels before the bytes of an operation: what the sender believes it to be.
struct Header {
  std::uint64_t number = 0;  // of its kind: of all collectives, or of what goes between these two
  std::uint64_t bytes = 0;
  char kind = 0;  // 'g'ather, 'p'oint to point
  bool operator==(const Header&) const = default;
  std::string text() const {
    return std::string(kind == 'g' ? "ncclAllGather" : "ncclSend/ncclRecv") + " of " + std::to_string(bytes) +
           " bytes, number " + std::to_string(number);
  }
};

// Bytes from one rank to another.
struct Channel {
  std::atomic<std::uint64_t> written{0}, read{0};
  std::byte ring[kRing];

  std::size_t put(const std::byte* from, std::size_t bytes) {
    const std::uint64_t at = written.load(), room = kRing - (at - read.load());
    const std::size_t some = std::min({bytes, static_cast<std::size_t>(room), kRing - at % kRing});
    std::memcpy(ring + at % kRing, from, some);
    written.store(at + some);
    return some;
  }
  std::size_t take(std::byte* to, std::size_t bytes) {
    const std::uint64_t at = read.load(), there = written.load() - at;
    const std::size_t some = std::min({bytes, static_cast<std::size_t>(there), kRing - at % kRing});
    std::memcpy(to, ring + at % kRing, some);
    read.store(at + some);
    return some;
  }
};

struct Shared {
  std::atomic<int> joined{0};
  int device[kMostRanks] = {};
  Channel channels[kMostRanks][kMostRanks];  // from, to
};

// A message one way, with how far it has come.
struct Transfer {
  int peer;
  Header header, received{};
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::size_t done = 0;
  std::vector<std::byte> landed{};
};

struct State {
  std::string path;
  Shared* shared = nullptr;
  int rank = 0, ranks = 0, device = 0;
  std::atomic<bool> aborted{false}, started{false};
  std::atomic<int> error{kSuccess}, reluctance{2}, at_work{0};
  std::chrono::steady_clock::time_point accepted{};  // when the last group is said to have been
  std::uint64_t groups = 0, collectives = 0, sent[kMostRanks] = {}, received[kMostRanks] = {};
  std::map<std::pair<char, int>, void*> buffers;  // by kind and class of sizes
  std::thread joiner;
  ~State() {
    if (joiner.joinable()) joiner.join();
    for (const auto& [what, memory] : buffers) emulation::free_memory(memory);
    if (shared != nullptr) munmap(static_cast<void*>(shared), sizeof(Shared));
  }
};

}  // namespace

struct shardlora::nccl::Comm {
  std::shared_ptr<State> state;
};

namespace {

thread_local std::string last_error;
thread_local int depth = 0;
thread_local Result group_error = kSuccess;  // of a call inside: then nothing of the group starts
struct Issued {
  Comm* comm = nullptr;
  cudaStream_t stream = nullptr;
  std::uint64_t number = 0;
  std::vector<Transfer> sends{}, receives{};
  const std::byte* own_from = nullptr;
  std::byte* own_to = nullptr;
  std::size_t own_bytes = 0;
  bool fails_later = false, hangs = false;
  std::unique_ptr<fake_nccl::Turn> turn{};
};
thread_local std::vector<Issued> group;

[[noreturn]] void end_process(const std::string& why) {
  std::fprintf(stderr, "fake NCCL: %s\n", why.c_str());
  std::abort();
}

// One round over all transfers of one direction and peer order; true when all are done.
bool send_some(State& s, std::vector<Transfer>& sends) {
  bool all = true;
  for (int peer = 0; peer < s.ranks; ++peer)
    for (Transfer& t : sends) {
      if (t.peer != peer || t.done == sizeof(Header) + t.header.bytes) continue;
      Channel& channel = s.shared->channels[s.rank][peer];
      if (t.done < sizeof(Header))
        t.done += channel.put(reinterpret_cast<const std::byte*>(&t.header) + t.done, sizeof(Header) - t.done);
      if (t.done >= sizeof(Header))
        t.done += channel.put(t.from + (t.done - sizeof(Header)), sizeof(Header) + t.header.bytes - t.done);
      all = all && t.done == sizeof(Header) + t.header.bytes;
      if (!all) break;  // a channel is a queue
    }
  return all;
}

bool receive_some(State& s, std::vector<Transfer>& receives) {
  bool all = true;
  for (int peer = 0; peer < s.ranks; ++peer)
    for (Transfer& t : receives) {
      if (t.peer != peer || t.done == sizeof(Header) + t.header.bytes) continue;
      Channel& channel = s.shared->channels[peer][s.rank];
      if (t.done < sizeof(Header)) {
        t.done += channel.take(reinterpret_cast<std::byte*>(&t.received) + t.done, sizeof(Header) - t.done);
        if (t.done == sizeof(Header) && !(t.received == t.header))
          end_process("rank " + std::to_string(s.rank) + " expects " + t.header.text() + " from rank " +
                      std::to_string(peer) + ", which is in " + t.received.text());
      }
      if (t.done >= sizeof(Header))
        t.done += channel.take(t.landed.data() + (t.done - sizeof(Header)), sizeof(Header) + t.header.bytes - t.done);
      if (t.done < sizeof(Header) + t.header.bytes) {
        all = false;
        break;
      }
    }
  return all;
}

// On the stream's thread.
void work(const std::shared_ptr<State>& state, Issued& issued) {
  issued.turn->wait(state->aborted);
  for (Transfer& t : issued.receives) {
    std::memset(t.to, 0xff, t.header.bytes);
    t.landed.resize(t.header.bytes);
  }
  std::this_thread::sleep_for(
      std::chrono::microseconds(100 + 37 * ((issued.number + 7 * static_cast<unsigned>(state->rank)) % 11)));
  for (int turn = 0; !state->aborted; ++turn) {
    const bool sent = send_some(*state, issued.sends), received = receive_some(*state, issued.receives);
    if (sent && received && !issued.hangs) break;
    if (turn > 50) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  if (!state->aborted && issued.fails_later) {
    state->error = kInternalError;
    while (!state->aborted) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  if (!state->aborted) {
    for (Transfer& t : issued.receives) std::memcpy(t.to, t.landed.data(), t.header.bytes);
    if (issued.own_to != issued.own_from) std::memmove(issued.own_to, issued.own_from, issued.own_bytes);
  }
  --state->at_work;
}

// Of a group, in NCCL's own thread. None, or what FAKE_NCCL_LAUNCH_US says.
std::chrono::microseconds accepting_takes() {
  static const char* const text = std::getenv("FAKE_NCCL_LAUNCH_US");
  static const std::chrono::microseconds time(text == nullptr ? 0 : std::atoi(text));
  return time;
}

Result launch() {
  std::vector<Issued> all = std::move(group);
  group.clear();
  for (Issued& issued : all) {
    const auto state = issued.comm->state;
    ++state->at_work;
    state->reluctance = 3;
    state->accepted = std::chrono::steady_clock::now() + accepting_takes();
    ++state->groups;
    issued.turn = std::make_unique<fake_nccl::Turn>(issued.stream);
    const auto shared = std::make_shared<Issued>(std::move(issued));
    emulation::enqueue(shared->stream, [state, shared] { work(state, *shared); });
  }
  return all.empty() ? kSuccess : kInProgress;
}

// What the group does on one communicator so far.
Issued& issued_on(Comm* comm, cudaStream_t stream) {
  for (Issued& issued : group)
    if (issued.comm == comm && issued.stream == stream) return issued;
  group.push_back({.comm = comm, .stream = stream, .number = comm->state->groups});
  return group.back();
}

std::byte* bytes_of(const State& s, const void* address, std::size_t bytes) {
  if (bytes > 0 && emulation::device_of_memory(address) != s.device)
    end_process("rank " + std::to_string(s.rank) + ": memory that is not of its GPU");
  return static_cast<std::byte*>(emulation::view(const_cast<void*>(address)));
}

// False where the GPU has no room for what the first collective of this kind and class takes.
bool has_buffers(State& s, char kind, std::size_t bytes) {
  if (bytes == 0) return true;
  void*& memory = s.buffers[{kind, size_class(bytes)}];
  if (memory == nullptr) memory = emulation::allocate_memory(s.device, kBuffers);
  return memory != nullptr;
}

// Opens an entry point that issues an operation: false where the call ends here with `result`.
bool open_call(const char* name, Comm* comm, char kind, std::size_t bytes, DataType type, Result& result,
               int& special) {
  special = emulation::injected_error(name);
  result = kSuccess;
  if (special != 0 && special < fake_nccl::kHang)
    result = static_cast<Result>(special);
  else if (comm == nullptr || type != kUint8)
    result = kInvalidArgument;
  else if (!comm->state->started)
    result = kInvalidUsage;  // nobody waited for the communicator
  else if (comm->state->reluctance > 0 && depth == 0)
    result = kInvalidUsage;  // nor for the last call
  else if (!has_buffers(*comm->state, kind, bytes))
    result = kUnhandledCudaError;
  if (result != kSuccess) last_error = std::string(name) + " was refused";
  if (result != kSuccess && depth > 0) group_error = result;
  return result == kSuccess;
}

Result close_call(Issued& issued, int special) {
  issued.hangs = issued.hangs || special == fake_nccl::kHang;
  issued.fails_later = issued.fails_later || special == fake_nccl::kFailLater;
  return depth > 0 ? kSuccess : launch();
}

}  // namespace

extern "C" {

Result ncclGetVersion(int* version) {
  *version = fake_nccl::version();
  return static_cast<Result>(emulation::injected_error("ncclGetVersion"));
}

const char* ncclGetErrorString(Result result) {
  return result == kRemoteError ? "remote process exited" : "fake error";
}
const char* ncclGetLastError(Comm*) { return last_error.c_str(); }

Result ncclGetUniqueId(UniqueId* id) {
  if (const int code = emulation::injected_error("ncclGetUniqueId"); code != 0) return static_cast<Result>(code);
  static std::atomic<int> made{0};
  std::snprintf(id->internal, sizeof id->internal, "/fake_nccl.%d.%d", getpid(), made++);
  const int file = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return kSystemError;
  close(file);
  return kSuccess;
}

Result ncclCommInitRankConfig(Comm** comm, int ranks, UniqueId id, int rank, Config* config) {
  const int special = emulation::injected_error("ncclCommInitRankConfig");
  if (special != 0 && special < fake_nccl::kHang) return static_cast<Result>(special);
  if (config->magic != 0xcafebeef || config->size != sizeof(Config) || config->blocking != 0 || ranks > kMostRanks)
    return kInvalidArgument;
  auto state = std::make_shared<State>();
  state->path = id.internal;
  state->rank = rank;
  state->ranks = ranks;
  state->error = kInProgress;
  cudaGetDevice(&state->device);
  *comm = new Comm{state};
  state->joiner = std::thread([s = state.get(), special] {
    while (special == fake_nccl::kHang && !s->aborted) usleep(1000);
    const int file = shm_open(s->path.c_str(), O_RDWR, 0);
    void* const memory =
        file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (memory == MAP_FAILED) {
      s->error = kSystemError;
      return;
    }
    s->shared = static_cast<Shared*>(memory);  // zeros are its beginning
    s->shared->device[s->rank] = s->device;
    ++s->shared->joined;
    while (s->shared->joined < s->ranks && !s->aborted) usleep(500);
    if (s->rank == 0) shm_unlink(s->path.c_str());
    for (int r = 0; r < s->ranks; ++r)
      if (r != s->rank && s->shared->device[r] == s->device) {
        s->error = kInvalidUsage;
        return;
      }
    s->started = true;
    s->error = kSuccess;
  });
  return kInProgress;
}

Result ncclCommGetAsyncError(Comm* comm, Result* error) {
  if (const int code = emulation::injected_error("ncclCommGetAsyncError"); code != 0) return static_cast<Result>(code);
  State& s = *comm->state;
  *error = static_cast<Result>(s.error.load());
  if (*error == kSuccess && s.reluctance > 0) {
    --s.reluctance;
    *error = kInProgress;
  }
  if (*error == kSuccess && std::chrono::steady_clock::now() < s.accepted) *error = kInProgress;
  return kSuccess;
}

Result ncclCommFinalize(Comm* comm) {
  if (const int code = emulation::injected_error("ncclCommFinalize"); code != 0) return static_cast<Result>(code);
  emulation::uses_device("ncclCommFinalize");
  if (comm->state->at_work > 0) return kInvalidUsage;
  comm->state->reluctance = 2;
  return kInProgress;
}

Result ncclCommDestroy(Comm* comm) {
  emulation::uses_device("ncclCommDestroy");
  comm->state->aborted = true;  // nothing is at work any more
  delete comm;
  return kSuccess;
}

Result ncclCommAbort(Comm* comm) {
  emulation::uses_device("ncclCommAbort");
  if (emulation::injected_error("ncclCommAbort") == fake_nccl::kHang)
    for (;;) pause();
  comm->state->aborted = true;
  delete comm;
  return kSuccess;
}

Result ncclGroupStart() {
  ++depth;
  return static_cast<Result>(emulation::injected_error("ncclGroupStart"));
}

Result ncclGroupEnd() {
  if (--depth > 0) return kSuccess;
  const int injected = emulation::injected_error("ncclGroupEnd");
  const Result error = injected != 0 ? static_cast<Result>(injected) : group_error;
  group_error = kSuccess;
  if (error == kSuccess) return launch();
  group.clear();
  return error;
}

Result ncclAllGather(const void* send, void* receive, std::size_t count, DataType type, Comm* comm,
                     cudaStream_t stream) {
  Result result;
  int special;
  if (!open_call("ncclAllGather", comm, 'g', count, type, result, special)) return result;
  State& s = *comm->state;
  Issued& issued = issued_on(comm, stream);
  const std::uint64_t number = s.collectives++;
  const std::byte* const mine = bytes_of(s, send, count);
  std::byte* const out = bytes_of(s, receive, count * static_cast<std::size_t>(s.ranks));
  for (int r = 0; r < s.ranks; ++r) {
    std::byte* const to = out + static_cast<std::size_t>(r) * count;
    const Header header{number, count, 'g'};
    if (r == s.rank) {
      issued.own_from = mine, issued.own_to = to, issued.own_bytes = count;
      continue;
    }
    issued.sends.push_back({r, header, {}, mine});
    issued.receives.push_back({r, header, {}, nullptr, to});
  }
  return close_call(issued, special);
}

Result ncclSend(const void* data, std::size_t count, DataType type, int peer, Comm* comm, cudaStream_t stream) {
  Result result;
  int special;
  if (!open_call("ncclSend", comm, 'p', count, type, result, special)) return result;
  Issued& issued = issued_on(comm, stream);
  issued.sends.push_back({peer, {comm->state->sent[peer]++, count, 'p'}, {}, bytes_of(*comm->state, data, count)});
  return close_call(issued, special);
}

Result ncclRecv(void* data, std::size_t count, DataType type, int peer, Comm* comm, cudaStream_t stream) {
  Result result;
  int special;
  if (!open_call("ncclRecv", comm, 'p', count, type, result, special)) return result;
  Issued& issued = issued_on(comm, stream);
  issued.receives.push_back(
      {peer, {comm->state->received[peer]++, count, 'p'}, {}, nullptr, bytes_of(*comm->state, data, count)});
  return close_call(issued, special);
}

}  // extern "C"
