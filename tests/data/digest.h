// The first characters of the base64 of SHA-256: what goldens keep of a line.
#pragma once

#include <nettle/base64.h>
#include <nettle/sha2.h>

#include <array>
#include <string>

namespace shardlora {

inline std::string digest(const std::string& text, std::size_t characters) {
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> hash{};
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, text.size(), reinterpret_cast<const std::uint8_t*>(text.data()));
  sha256_digest(&context, hash.size(), hash.data());
  std::array<char, BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE)> base64{};
  base64_encode_raw(base64.data(), hash.size(), hash.data());
  return {base64.data(), characters};
}

}  // namespace shardlora
