// A library that is loaded when it is needed, so that the program starts, at once, on a machine without it.
#pragma once

#include <initializer_list>
#include <string>

namespace shardlora {

class SharedLibrary {
 public:
  // Tries the environment variable `override`'s file if it is set, and nothing else then; otherwise the names in their
  // order. An Error tells what was tried, why it failed and `advice`. Never unloaded: CUDA's libraries keep threads.
  SharedLibrary(const char* override, std::initializer_list<const char*> names, const char* advice);
  // The same, but without a library instead of an Error.
  explicit SharedLibrary(const char* name) noexcept;

  explicit operator bool() const { return handle_ != nullptr; }
  const std::string& name() const { return name_; }

  // Points `function` at the entry point; an Error where there is none.
  template <typename Function>
  void find(Function*& function, const char* entry) const {
    function = reinterpret_cast<Function*>(symbol(entry));
  }

 private:
  void* symbol(const char* entry) const;

  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace shardlora
