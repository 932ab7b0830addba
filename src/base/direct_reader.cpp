#include "base/direct_reader.h"

#include <fcntl.h>
#include <liburing.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/disk.h"
#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::size_t kDirectPage = 4096;  // what O_DIRECT asks of offsets, lengths and addresses, or more

bool same_file(int a, int b) {
  struct stat of_a{}, of_b{};
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

// Readers are made by every rank that is a thread, and again for every base.
void say_once(std::once_flag& said, const std::string& text) {
  std::call_once(said, [&] { spdlog::info("{}", text); });
}

}  // namespace

void DirectReader::CloseRing::operator()(io_uring* ring) const {
  io_uring_queue_exit(ring);
  delete ring;
}

DirectReader::DirectReader(std::filesystem::path path, const ReadPattern& pattern, ReadRoute route)
    : file_(std::move(path)), pattern_(pattern), route_(is_system_disk() ? route : ReadRoute::kPlain) {
  CHECK(pattern.depth > 0 && pattern.block > 0 && pattern.block % kDirectPage == 0, "{} blocks of {} bytes",
        pattern.depth, pattern.block);
  if (route_ != ReadRoute::kPlain) open_ring();
  if (route_ == ReadRoute::kRing) open_direct();
}

DirectReader::~DirectReader() {
  if (direct_ >= 0) disk().close(direct_);
}

void DirectReader::open_ring() {
  auto ring = std::make_unique<io_uring>();
  int error = -io_uring_queue_init(pattern_.depth, ring.get(), 0);
  if (error == 0) {
    ring_.reset(ring.release());
    if ((ring_->features & IORING_FEAT_RW_CUR_POS) != 0) return;
    error = ENOSYS;  // before Linux 5.6 it does not know IORING_OP_READ either
    ring_.reset();
  }
  static std::once_flag said;
  say_once(said, fmt::format("the system allows no io_uring here ({}): files are read by pread, which is slower",
                             std::strerror(error)));
  route_ = ReadRoute::kPlain;
}

// Some file systems refuse O_DIRECT when a file is opened, some when it is read.
void DirectReader::open_direct() {
  const std::string path = file_.path().string();
  alignas(kDirectPage) std::array<std::byte, kDirectPage> page;
  direct_ = disk().open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT, 0);
  const bool opened = direct_ >= 0;
  const int error = opened && disk().pread(direct_, page.data(), page.size(), 0) >= 0 ? 0 : errno;
  const bool replaced = opened && !same_file(direct_, file_.descriptor());
  if (error == 0 && !replaced) return;
  if (opened) disk().close(std::exchange(direct_, -1));
  if (replaced) fail("{}: was replaced while it was opened; start again", path);
  if (error != EINVAL && error != EOPNOTSUPP) fail_to_read(path, 0, error);
  static std::once_flag said;
  say_once(said, fmt::format("{}: its file system takes no O_DIRECT: it is read through the page cache", path));
  route_ = ReadRoute::kRingThroughCache;
}

void DirectReader::read(std::byte* to, std::size_t bytes, std::uint64_t offset) {
  const ReadRun run{to, bytes, offset};
  read({&run, 1});
}

void DirectReader::read(std::span<const ReadRun> runs) {
  const std::lock_guard lock(one_at_a_time_);
  blocks_.clear();
  for (const ReadRun& run : runs) cut(run);
  for (const ReadRun& rest : read_blocks()) file_.read_at(rest.offset, {rest.to, rest.bytes});
}

// Reads what is no whole pages, and notes the blocks down. A run that the file lacks is read_at's to refuse.
void DirectReader::cut(const ReadRun& run) {
  const std::size_t skew = run.offset % kDirectPage, head = skew == 0 ? 0 : kDirectPage - skew;
  const bool in_file = run.offset <= file_.size() && run.bytes <= file_.size() - run.offset;
  if (!in_file || !ring_ || !is_system_disk() || run.bytes < head + kDirectPage ||
      reinterpret_cast<std::uintptr_t>(run.to) % kDirectPage != skew) {
    file_.read_at(run.offset, {run.to, run.bytes});
    return;
  }
  const std::size_t end = head + (run.bytes - head) / kDirectPage * kDirectPage;
  file_.read_at(run.offset, {run.to, head});
  file_.read_at(run.offset + end, {run.to + end, run.bytes - end});
  for (std::size_t at = head; at < end; at += pattern_.block)
    blocks_.push_back({run.to + at, std::min(pattern_.block, end - at), run.offset + at});
}

// What is left of blocks that came in part, or not at all for no lasting reason. Where one fails, those in flight are
// awaited: they still write to memory.
std::vector<ReadRun> DirectReader::read_blocks() {
  std::vector<ReadRun> rest;
  std::optional<std::pair<std::uint64_t, int>> failed;  // the first in the file: its offset, and the reason
  const auto take = [&](const ReadRun& block, int result) {
    const std::size_t got = static_cast<std::size_t>(std::max(result, 0));
    if (result < 0 && result != -EINTR && result != -EAGAIN)
      failed = std::min(failed.value_or(std::pair(block.offset, -result)), std::pair(block.offset, -result));
    else if (got < block.bytes)
      rest.push_back({block.to + got, block.bytes - got, block.offset + got});
  };
  const int descriptor = direct_ >= 0 ? direct_ : file_.descriptor();
  unsigned in_flight = 0;
  for (std::size_t next = 0; in_flight > 0 || (next < blocks_.size() && !failed);) {
    for (; in_flight < pattern_.depth && next < blocks_.size() && !failed; ++in_flight, ++next) {
      const ReadRun& block = blocks_[next];
      io_uring_sqe* const entry = io_uring_get_sqe(ring_.get());  // there are as many as may be in flight
      io_uring_prep_read(entry, descriptor, block.to, static_cast<unsigned>(block.bytes), block.offset);
      io_uring_sqe_set_data64(entry, next);
    }
    const int result = io_uring_submit_and_wait(ring_.get(), 1);
    CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY, "io_uring refuses: {}",
          std::strerror(-result));
    for (io_uring_cqe* done = nullptr; io_uring_peek_cqe(ring_.get(), &done) == 0; --in_flight) {
      take(blocks_[io_uring_cqe_get_data64(done)], done->res);
      io_uring_cqe_seen(ring_.get(), done);
    }
  }
  if (failed) fail_to_read(file_.path(), failed->first, failed->second);
  std::ranges::sort(rest, {}, &ReadRun::offset);  // an Error names the first
  return rest;
}

}  // namespace shardlora
