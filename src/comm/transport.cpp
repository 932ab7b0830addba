#include "comm/transport.h"

#include <cstdint>

#include "base/error.h"

namespace shardlora {

std::vector<std::string> exchange_strings(Transport& transport, const std::string& mine) {
  const auto ranks = static_cast<std::size_t>(transport.size());
  std::vector<std::uint64_t> lengths(ranks);
  std::vector<std::size_t> offsets(ranks + 1);
  for (std::size_t r = 0; r <= ranks; ++r) offsets[r] = r * sizeof(std::uint64_t);
  const std::uint64_t length = mine.size();
  transport.all_gather(reinterpret_cast<std::byte*>(lengths.data()), reinterpret_cast<const std::byte*>(&length),
                       offsets);

  for (std::size_t r = 0; r < ranks; ++r) offsets[r + 1] = offsets[r] + lengths[r];
  std::string all(offsets[ranks], '\0');
  transport.all_gather(reinterpret_cast<std::byte*>(all.data()), reinterpret_cast<const std::byte*>(mine.data()),
                       offsets);
  std::vector<std::string> strings;
  for (std::size_t r = 0; r < ranks; ++r) strings.push_back(all.substr(offsets[r], lengths[r]));
  return strings;
}

std::string stopped(int rank) { return fmt::format("rank {} stopped, so this rank stops as well", rank); }

}  // namespace shardlora
