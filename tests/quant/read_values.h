// Values of a golden's file, one behind the other as a script wrote them.
#pragma once

#include <istream>
#include <vector>

namespace shardlora {

template <typename T>
std::vector<T> read_values(std::istream& in, std::size_t n) {
  std::vector<T> out(n);
  in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(n * sizeof(T)));
  return out;
}

}  // namespace shardlora
