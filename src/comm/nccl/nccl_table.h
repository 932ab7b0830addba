// NCCL's entry points, loaded when ranks with GPUs of their own meet. Own declarations of the few that are used, as
// NCCL 2.18 to 2.30 have them: nothing of NCCL is needed to build.
#pragma once

#include <cuda_runtime_api.h>

#include <climits>
#include <cstddef>

namespace shardlora::nccl {

struct Comm;  // ncclComm

enum Result : int {  // ncclResult_t
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

enum DataType : int { kUint8 = 1 };  // ncclDataType_t

struct UniqueId {
  char internal[128];
};

inline constexpr int kUndefined = INT_MIN;
// Versions: 2.18.0; collectives of several communicators in the host's order; two ranks on one card, experimental.
inline constexpr int kOldest = 21800, kOrdersLaunches = 22600, kSharesCards = 23003;

// ncclConfig_t of 2.18, which says itself how long it is and how old; later libraries take what is not there as unset.
struct Config {
  std::size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = kOldest;
  int blocking = 0;  // calls return at once, kInProgress until they are done
  int cga_cluster_size = kUndefined, min_ctas = kUndefined, max_ctas = kUndefined;
  const char* net_name = nullptr;
  int split_share = kUndefined, unused = kUndefined;
};
static_assert(sizeof(Config) == 48);

struct Table {
  Result (*get_version)(int* version);
  Result (*get_unique_id)(UniqueId* id);
  Result (*comm_init_rank_config)(Comm** comm, int ranks, UniqueId id, int rank, Config* config);
  Result (*comm_finalize)(Comm* comm);
  Result (*comm_destroy)(Comm* comm);
  Result (*comm_abort)(Comm* comm);
  Result (*comm_get_async_error)(Comm* comm, Result* error);
  Result (*group_start)();
  Result (*group_end)();
  Result (*all_gather)(const void* send, void* receive, std::size_t count, DataType type, Comm* comm,
                       cudaStream_t stream);
  Result (*send)(const void* data, std::size_t count, DataType type, int peer, Comm* comm, cudaStream_t stream);
  Result (*receive)(void* data, std::size_t count, DataType type, int peer, Comm* comm, cudaStream_t stream);
  const char* (*error_string)(Result result);
  const char* (*last_error)(Comm* comm);
  int version = 0;  // 22809 is 2.28.9
  // Collectives of several communicators of a GPU start in the order in which the host issued them. Otherwise the
  // order is the caller's to see to: ranks whose GPUs begin with different ones wait for each other for ever.
  bool orders_launches = false;
};

// Loads libnccl.so.2, or SHARDLORA_NCCL_LIBRARY, at the first call. An Error says what is missing or too old.
const Table& table();
// "2.28.9".
const char* version_text(int version, char (&text)[16]);

}  // namespace shardlora::nccl
