#include "comm/window_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace shardlora {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

// A file of `bytes` zeros whose memory is there for sure: a full machine shows here, not as a signal in the middle of a
// step.
int make_file(std::size_t bytes) {
  const int file = memfd_create("shardlora", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -1;
  const int error = posix_fallocate(file, 0, static_cast<off_t>(bytes));
  if (error == 0 && fcntl(file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return file;
  const int reason = error != 0 ? error : errno;
  close(file);
  errno = reason;
  return -1;
}

// Throws on all ranks what went wrong on one of them.
void agree(Rendezvous& rendezvous, const std::string& problem) {
  const std::vector<std::string> problems = rendezvous.exchange(problem);
  for (std::size_t r = 0; r < problems.size(); ++r)
    if (!problems[r].empty())
      fail("shared memory between the ranks of this host: rank {}: {}; allow the job more memory", r, problems[r]);
}

}  // namespace

std::shared_ptr<WindowSegment> WindowSegment::map(int ranks, int flags, int descriptor) {
  CHECK(ranks <= kMostLocalRanks, "{} ranks on one host", ranks);
  void* base = mmap(nullptr, bytes(ranks), PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (base == MAP_FAILED) return nullptr;
  return std::shared_ptr<WindowSegment>(new WindowSegment(static_cast<std::byte*>(base), ranks));
}

WindowSegment::~WindowSegment() { munmap(base_, bytes(ranks_)); }

std::shared_ptr<WindowSegment> WindowSegment::for_threads(int ranks) {
  auto segment = map(ranks, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!segment) fail("no memory for the windows of {} ranks", ranks);
  return segment;
}

std::shared_ptr<WindowSegment> WindowSegment::for_children(int ranks) {
  auto segment = map(ranks, MAP_SHARED | MAP_ANONYMOUS, -1);
  if (!segment) fail("no memory for the windows of {} ranks", ranks);
  return segment;
}

std::shared_ptr<WindowSegment> WindowSegment::for_processes(Rendezvous& rendezvous) {
  const int ranks = rendezvous.size();
  const bool first = rendezvous.rank() == 0;
  std::string path, problem;
  const int made = first ? make_file(bytes(ranks)) : -1;
  if (first && made < 0) problem = fmt::format("cannot make {} bytes: {}", bytes(ranks), std::strerror(errno));
  // Peers open our descriptor through /proc: the file has no name that could be left behind or squatted.
  if (made >= 0) path = fmt::format("/proc/{}/fd/{}", getpid(), made);
  const Descriptor own(made);
  path = rendezvous.exchange(path)[0];
  agree(rendezvous, problem);

  const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  std::shared_ptr<WindowSegment> segment;
  if (file.value() >= 0) segment = map(ranks, MAP_SHARED, file.value());
  if (!segment) problem = fmt::format("cannot map {}: {}", path, std::strerror(errno));
  agree(rendezvous, problem);  // also tells rank 0 that its descriptor is no longer needed
  return segment;
}

}  // namespace shardlora
