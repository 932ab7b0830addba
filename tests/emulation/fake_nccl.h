// What a test can ask of the stand-in for NCCL, through emulation::fail_call, beside NCCL's own codes.
#pragma once

namespace fake_nccl {

inline constexpr int kHang = 100;       // never done: only ncclCommAbort ends it
inline constexpr int kFailLater = 101;  // accepted, then an error while it is at work

}  // namespace fake_nccl
