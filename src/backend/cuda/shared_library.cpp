#include "backend/cuda/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"

namespace shardlora {

SharedLibrary::SharedLibrary(const char* override, std::initializer_list<const char*> names, const char* advice) {
  std::string tried;
  const auto load = [&](const char* name) {
    handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    name_ = name;
    if (handle_ == nullptr) {
      const char* const why = dlerror();
      tried += fmt::format("{}{}", tried.empty() ? "" : "; ", why == nullptr ? name : why);
    }
    return handle_ != nullptr;
  };
  if (const char* const file = std::getenv(override); file != nullptr && *file != '\0') {
    if (!load(file)) fail("{}={}: cannot be loaded: {}", override, file, tried);
    return;
  }
  for (const char* const name : names)
    if (load(name)) return;
  fail("{} ({})", advice, tried);
}

SharedLibrary::SharedLibrary(const char* name) noexcept : name_(name), handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}

void* SharedLibrary::symbol(const char* entry) const {
  void* const found = dlsym(handle_, entry);
  if (found == nullptr) fail("{} has no {}: it is too old or not what its name says", name_, entry);
  return found;
}

}  // namespace shardlora
