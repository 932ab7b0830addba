#include "comm/mpi_rendezvous.h"

#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <filesystem>

#include "base/error.h"
#include "comm/mpi_transport.h"
#include "comm/process.h"
#include "comm/window_transport.h"

namespace shardlora {

namespace {

const MpiModule* load_module() {
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  std::filesystem::path file;
  for (const auto& candidate : {folder / kMpiModuleFile, folder.parent_path() / "lib" / kMpiModuleFile})
    if (std::filesystem::exists(candidate)) {
      file = candidate;
      break;
    }
  if (file.empty())
    fail(
        "started by an MPI launcher, but {} is neither beside the program nor in {}; build with scripts/build, or copy "
        "it there",
        kMpiModuleFile, (folder.parent_path() / "lib").string());
  // Global, because the plugins of Open MPI look for its symbols; never closed, because MPI cannot be unloaded.
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr)
    fail("cannot load {}: {}; install Open MPI (Debian, Ubuntu: apt-get install openmpi-bin libopenmpi3)",
         file.string(), dlerror());
  const auto entry = reinterpret_cast<const MpiModule* (*)()>(dlsym(handle, kMpiModuleSymbol));
  if (entry == nullptr) fail("{} is not the MPI module of this program; build with scripts/build", file.string());
  return entry();
}

}  // namespace

MpiRendezvous::MpiRendezvous(int launched) : module_(load_module()) {
  if (const char* const problem = module_->initialize(); problem != nullptr) fail("cannot start MPI: {}", problem);
  rank_ = module_->rank();
  size_ = module_->size();
  if (launched > 0 && launched != size_)
    fail(
        "the launcher started {} ranks, but this program's Open MPI sees {}: it was started by another MPI; use Open "
        "MPI's mpirun, or "
        "srun --mpi=pmix",
        launched, size_);
  world_ = make_mpi_transport();
  const std::vector<std::string> hosts = exchange(host_identity());
  const std::string& here = hosts[static_cast<std::size_t>(rank_)];
  local_size_ = static_cast<int>(std::count(hosts.begin(), hosts.end(), here));
  local_rank_ = static_cast<int>(std::count(hosts.begin(), hosts.begin() + rank_, here));
}

MpiRendezvous::~MpiRendezvous() {
  if (!aborted_ && std::uncaught_exceptions() == 0) module_->finalize();
}

std::unique_ptr<Transport> MpiRendezvous::make_mpi_transport() { return std::make_unique<MpiTransport>(*module_); }

std::vector<std::string> MpiRendezvous::exchange(const std::string& mine) { return exchange_strings(*world_, mine); }

std::unique_ptr<Transport> MpiRendezvous::make_transport() {
  // local_size_ is not the same on all ranks, but whether it is all of them is.
  if (local_size_ != size_) return make_mpi_transport();
  auto transport = std::make_unique<WindowTransport>(WindowSegment::for_processes(*this), rank_);
  exchange({});  // nobody begins before all are there
  return transport;
}

void MpiRendezvous::abort(int exit_code) noexcept {
  aborted_ = true;
  module_->abort_job(exit_code);
}

}  // namespace shardlora
