// Whether a function is called like another one, as far as a call can tell: as many arguments, each a pointer on both
// sides or of the same size on both; and the values of enumerations. For our own declarations of libraries' functions.
#pragma once

#include <type_traits>

namespace headers {

template <typename T, typename U>
constexpr bool kPassedAlike =
    std::is_pointer_v<T> == std::is_pointer_v<U> && std::is_class_v<T> == std::is_class_v<U> &&
    sizeof(T) == sizeof(U) && alignof(T) == alignof(U);

template <typename Ours, typename Theirs>
struct Calls;
template <typename R, typename... As, typename S, typename... Bs>
struct Calls<R (*)(As...), S (*)(Bs...)> {
  static constexpr bool kAlike = [] {
    if constexpr (sizeof...(As) == sizeof...(Bs))
      return (kPassedAlike<As, Bs> && ... && kPassedAlike<R, S>);
    else
      return false;
  }();
};
template <typename Ours, typename Theirs>
constexpr bool kCalledAlike = Calls<Ours, Theirs>::kAlike;

}  // namespace headers
