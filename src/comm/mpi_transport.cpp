#include "comm/mpi_transport.h"

#include <cstring>

#include "base/error.h"

namespace shardlora {

namespace {

void throw_if(int culprit) {
  if (culprit >= 0) throw PeerFailed(stopped(culprit));
}

void copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes != 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace

void MpiTransport::check() { throw_if(module_.aborted(communicator_)); }

void MpiTransport::all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  const std::size_t own = offsets[me + 1] - offsets[me];
  const std::vector<const std::byte*> send(ranks, mine);
  const std::vector<std::size_t> send_bytes(ranks, own);
  std::vector<std::byte*> receive(ranks);
  std::vector<std::size_t> receive_bytes(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    receive[r] = out + offsets[r];
    receive_bytes[r] = offsets[r + 1] - offsets[r];
  }
  throw_if(module_.exchange(communicator_, send.data(), send_bytes.data(), receive.data(), receive_bytes.data()));
  copy(out + offsets[me], mine, own);
}

void MpiTransport::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                              std::span<const std::size_t> send) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  std::vector<const std::byte*> from(ranks);
  std::vector<std::byte*> to(ranks);
  std::vector<std::size_t> from_bytes(ranks), to_bytes(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    from[r] = in + send[r];
    from_bytes[r] = send[r + 1] - send[r];
    to[r] = out + receive[r];
    to_bytes[r] = receive[r + 1] - receive[r];
  }
  throw_if(module_.exchange(communicator_, from.data(), from_bytes.data(), to.data(), to_bytes.data()));
  copy(to[me], from[me], from_bytes[me]);
}

void MpiTransport::barrier() { throw_if(module_.barrier(communicator_)); }

}  // namespace shardlora
