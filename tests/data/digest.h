// The first characters of the base64 of SHA-256: what goldens keep of a line.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <string>

namespace shardlora {

inline std::string digest(const std::string& text, std::size_t characters) {
  std::array<unsigned char, 32> hash{};
  std::array<unsigned char, 48> base64{};
  EVP_Digest(text.data(), text.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
  EVP_EncodeBlock(base64.data(), hash.data(), static_cast<int>(hash.size()));
  return {reinterpret_cast<const char*>(base64.data()), characters};
}

}  // namespace shardlora
