#include "comm/staged_transport.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/pages.h"

namespace shardlora {

namespace {

// Where piece `round` of every rank's share lies in the staging: one after the other, as offsets.
std::vector<std::size_t> pieces(std::span<const std::size_t> offsets, std::size_t round, std::size_t piece) {
  std::vector<std::size_t> cuts{0};
  for (std::size_t r = 0; r + 1 < offsets.size(); ++r) {
    const std::size_t share = offsets[r + 1] - offsets[r];
    cuts.push_back(cuts.back() + std::min(piece, share - std::min(share, round * piece)));
  }
  return cuts;
}

std::size_t rounds(std::span<const std::size_t> offsets, std::size_t piece, std::size_t but) {
  std::size_t most = 0;
  for (std::size_t r = 0; r + 1 < offsets.size(); ++r)
    if (r != but) most = std::max(most, (offsets[r + 1] - offsets[r] + piece - 1) / piece);
  return most;
}

}  // namespace

StagedTransport::StagedTransport(std::unique_ptr<Transport> transport, Device& device, const std::string& name,
                                 std::size_t staging_bytes)
    : transport_(std::move(transport)),
      device_(device),
      half_bytes_(staging_bytes / 2),
      staging_(device.allocate(size() > 1 ? 2 * half_bytes_ : 0, Tier::kPinned, Purpose::kCommunication)),
      copies_(device.make_stream(name + "-copies")) {
  CHECK(half_bytes_ / (2 * static_cast<std::size_t>(size())) >= kPage, "{} bytes of staging for {} ranks",
        staging_bytes, size());
}

// When a collective returns, however it does, its buffers are the caller's again.
template <typename Work>
void StagedTransport::finish_copies(Work work) {
  try {
    work();
  } catch (...) {
    try {
      copies_->synchronize();
    } catch (...) {  // the first failure is the one to tell
    }
    throw;
  }
  copies_->synchronize();
}

// The copies are in one stream, so what waits for the load of a round also waits for the store of the round before the
// last one, which used the same half.
template <typename Load, typename Move, typename Store>
void StagedTransport::pipeline(std::size_t chunks, Load load, Move move, Store store) {
  if (chunks > 0) load(0);
  for (std::size_t round = 0; round < chunks; ++round) {
    copies_->synchronize(copies_->record());
    if (round + 1 < chunks) load(round + 1);
    move(round);
    store(round);
  }
}

// By an all_to_all, so that a rank which is in an all_gather instead notices.
std::size_t StagedTransport::most_of_all(std::size_t mine) {
  const auto ranks = static_cast<std::size_t>(size());
  const std::vector<std::uint64_t> own(ranks, mine);
  std::vector<std::uint64_t> counts(ranks);
  std::vector<std::size_t> offsets;
  for (std::size_t r = 0; r <= ranks; ++r) offsets.push_back(r * sizeof(std::uint64_t));
  transport_->all_to_all(reinterpret_cast<std::byte*>(counts.data()), offsets,
                         reinterpret_cast<const std::byte*>(own.data()), offsets);
  return *std::max_element(counts.begin(), counts.end());
}

void StagedTransport::all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  const std::size_t piece = half_bytes_ / ranks / kPage * kPage;
  const auto cuts = [&](std::size_t round) { return pieces(offsets, round, piece); };
  const auto load = [&](std::size_t round) {
    const auto at = cuts(round);
    copy(half(round) + at[me], mine + round * piece, at[me + 1] - at[me]);
  };
  const auto move = [&](std::size_t round) {
    const auto at = cuts(round);
    transport_->all_gather(half(round), half(round) + at[me], at);
  };
  const auto store = [&](std::size_t round) {
    const auto at = cuts(round);
    for (std::size_t r = 0; r < ranks; ++r)
      if (r != me) copy(out + offsets[r] + round * piece, half(round) + at[r], at[r + 1] - at[r]);
  };
  finish_copies([&] {
    copy(out + offsets[me], mine, offsets[me + 1] - offsets[me]);
    pipeline(ranks > 1 ? rounds(offsets, piece, ranks) : 0, load, move, store);
  });
}

// The first part of each half is for what is sent, the second one for what comes.
void StagedTransport::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                                 std::span<const std::size_t> send) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  const std::size_t piece = half_bytes_ / 2 / ranks / kPage * kPage;
  // The own part is copied on the device.
  const auto cuts = [&](std::span<const std::size_t> offsets, std::size_t round) {
    std::vector<std::size_t> shares{0};
    for (std::size_t r = 0; r < ranks; ++r)
      shares.push_back(shares.back() + (r == me ? 0 : offsets[r + 1] - offsets[r]));
    return pieces(shares, round, piece);
  };
  const auto load = [&](std::size_t round) {
    const auto at = cuts(send, round);
    for (std::size_t r = 0; r < ranks; ++r)
      if (r != me) copy(half(round) + at[r], in + send[r] + round * piece, at[r + 1] - at[r]);
  };
  const auto move = [&](std::size_t round) {
    transport_->all_to_all(half(round) + half_bytes_ / 2, cuts(receive, round), half(round), cuts(send, round));
  };
  const auto store = [&](std::size_t round) {
    const auto at = cuts(receive, round);
    for (std::size_t r = 0; r < ranks; ++r)
      if (r != me) copy(out + receive[r] + round * piece, half(round) + half_bytes_ / 2 + at[r], at[r + 1] - at[r]);
  };
  finish_copies([&] {
    copy(out + receive[me], in + send[me], send[me + 1] - send[me]);
    // How many rounds are needed only the senders know.
    pipeline(ranks > 1 ? most_of_all(rounds(send, piece, me)) : 0, load, move, store);
  });
}

}  // namespace shardlora
