#include "comm/nccl/nccl_table.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend/cuda/shared_library.h"
#include "base/error.h"

namespace shardlora::nccl {

namespace {

constexpr char kAdvice[] =
    "several ranks with a GPU each need NCCL 2.18 or later (libnccl.so.2): install NVIDIA's libnccl2, or pip's "
    "nvidia-nccl-cu13, and name the library file with SHARDLORA_NCCL_LIBRARY if it lies elsewhere";

constexpr char kLaunchOrder[] = "NCCL_LAUNCH_ORDER_IMPLICIT";  // off where nothing is said

Table load() {
  setenv(kLaunchOrder, "1", 0);  // before the library is there: it looks once
  const SharedLibrary library("SHARDLORA_NCCL_LIBRARY", {"libnccl.so.2"}, kAdvice);
  Table t{};
  library.find(t.get_version, "ncclGetVersion");
  int version = 0;
  if (t.get_version(&version) != kSuccess) fail("{} does not tell its version; {}", library.name(), kAdvice);
  if (char text[16]; version < kOldest) fail("{} is NCCL {}; {}", library.name(), version_text(version, text), kAdvice);
  t.version = version;
  t.orders_launches = version >= kOrdersLaunches && std::strcmp(std::getenv(kLaunchOrder), "1") == 0;
  library.find(t.get_unique_id, "ncclGetUniqueId");
  library.find(t.comm_init_rank_config, "ncclCommInitRankConfig");
  library.find(t.comm_finalize, "ncclCommFinalize");
  library.find(t.comm_destroy, "ncclCommDestroy");
  library.find(t.comm_abort, "ncclCommAbort");
  library.find(t.comm_get_async_error, "ncclCommGetAsyncError");
  library.find(t.group_start, "ncclGroupStart");
  library.find(t.group_end, "ncclGroupEnd");
  library.find(t.all_gather, "ncclAllGather");
  library.find(t.send, "ncclSend");
  library.find(t.receive, "ncclRecv");
  library.find(t.error_string, "ncclGetErrorString");
  library.find(t.last_error, "ncclGetLastError");
  return t;
}

}  // namespace

const Table& table() {
  static const Table loaded = load();
  return loaded;
}

const char* version_text(int version, char (&text)[16]) {
  const int unit = version >= 10000 ? 10000 : 1000;  // 2.9 and later count differently
  std::snprintf(text, sizeof text, "%d.%d.%d", version / unit % 100, version % unit / 100, version % 100);
  return text;
}

}  // namespace shardlora::nccl
