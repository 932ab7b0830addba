// What the compiler's checks of alignment, array bounds, shifts and divisions call in emulated kernels: the kernel ends
// with the place in the source. On the host they end the program. (UBSan's own library would do the same for the host,
// and nothing for a kernel.)
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "emulation/block.h"

namespace {

struct Place {
  const char* file;
  std::uint32_t line, column;
};

void tell(const Place& place, cudaError_t code, const std::string& what) {
  const std::string_view path = place.file;
  const std::string text = fmt::format("{}:{}: {}", path.substr(path.rfind('/') + 1), place.line, what);
  if (auto* block = emulation::Block::running()) return block->note(code, text);
  fmt::print(stderr, "{}\n", text);
  std::abort();
}

struct TypeMismatch {
  Place place;
  const void* type;
  unsigned char log_alignment, kind;
};

}  // namespace

extern "C" {

void __ubsan_handle_type_mismatch_v1(const TypeMismatch* data, std::uintptr_t pointer) {
  const std::uintptr_t alignment = std::uintptr_t{1} << data->log_alignment;
  tell(data->place, pointer == 0 ? cudaErrorIllegalAddress : cudaErrorMisalignedAddress,
       pointer == 0 ? "an access to a null pointer"
                    : fmt::format("a misaligned access: address {:#x} is no multiple of {}", pointer, alignment));
  emulation::Block::running()->leave();
}
void __ubsan_handle_out_of_bounds(const Place* place, std::uintptr_t index) {
  tell(*place, cudaErrorIllegalAddress, fmt::format("index {} is outside its array", static_cast<long>(index)));
  emulation::Block::running()->leave();
}
void __ubsan_handle_shift_out_of_bounds(const Place* place, std::uintptr_t, std::uintptr_t) {
  tell(*place, cudaErrorLaunchFailure, "a shift by more bits than the type has");
  emulation::Block::running()->leave();
}
void __ubsan_handle_divrem_overflow(const Place* place, std::uintptr_t, std::uintptr_t) {
  tell(*place, cudaErrorLaunchFailure, "an integer division by zero, or one that overflows");
  emulation::Block::running()->leave();
}
void __ubsan_handle_builtin_unreachable(const Place* place) {
  tell(*place, cudaErrorLaunchFailure, "a place is reached that cannot be");
  emulation::Block::running()->leave();
}

// What a program links in the place of the above where the compiler's own library is a part of it (CMakeLists.txt).
#define INSTEAD_OF(name, ...) void __wrap_##name(__VA_ARGS__) __attribute__((alias(#name)))
INSTEAD_OF(__ubsan_handle_type_mismatch_v1, const TypeMismatch*, std::uintptr_t);
INSTEAD_OF(__ubsan_handle_out_of_bounds, const Place*, std::uintptr_t);
INSTEAD_OF(__ubsan_handle_shift_out_of_bounds, const Place*, std::uintptr_t, std::uintptr_t);
INSTEAD_OF(__ubsan_handle_divrem_overflow, const Place*, std::uintptr_t, std::uintptr_t);
INSTEAD_OF(__ubsan_handle_builtin_unreachable, const Place*);

}  // extern "C"
