// nccl_table.h against nccl.h; headers_test.py adds the functions.
#include <nccl.h>

#include <cstddef>

#include "alike.h"
#include "comm/nccl/nccl_table.h"

namespace shardlora::nccl {

static_assert(static_cast<int>(kSuccess) == ncclSuccess &&
              static_cast<int>(kUnhandledCudaError) == ncclUnhandledCudaError);
static_assert(static_cast<int>(kSystemError) == ncclSystemError &&
              static_cast<int>(kInternalError) == ncclInternalError);
static_assert(static_cast<int>(kInvalidArgument) == ncclInvalidArgument);
static_assert(static_cast<int>(kInvalidUsage) == ncclInvalidUsage && static_cast<int>(kRemoteError) == ncclRemoteError);
static_assert(static_cast<int>(kInProgress) == ncclInProgress);
static_assert(static_cast<int>(kUint8) == ncclUint8);
static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId));
static_assert(kUndefined == NCCL_CONFIG_UNDEF_INT);

// Ours is that of the oldest version; later ones only grow.
constexpr Config kOurs;
constexpr ncclConfig_t kTheirs = NCCL_CONFIG_INITIALIZER;
static_assert(sizeof(Config) <= sizeof(ncclConfig_t) && kOldest <= NCCL_VERSION_CODE);
static_assert(kOurs.magic == kTheirs.magic && offsetof(Config, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(Config, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(Config, cga_cluster_size) == offsetof(ncclConfig_t, cgaClusterSize));
static_assert(offsetof(Config, min_ctas) == offsetof(ncclConfig_t, minCTAs));
static_assert(offsetof(Config, max_ctas) == offsetof(ncclConfig_t, maxCTAs));
static_assert(offsetof(Config, net_name) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(Config, split_share) == offsetof(ncclConfig_t, splitShare));

}  // namespace shardlora::nccl
