// Whether this is a build with AddressSanitizer, where every allocation is dear: what walks over all code points to
// find wrong values, which the release build does, looks at a part of them for wrong accesses.
#pragma once

namespace shardlora {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// ThreadSanitizer would stop at a race that is planted.
#ifdef __SANITIZE_THREAD__
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace shardlora
