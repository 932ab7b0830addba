#include "emulation/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

namespace emulation {

namespace {

struct Variable {
  std::string name;
  std::size_t offset, bytes;  // in the block of thread-local variables
};

struct Function {
  std::string name;
  std::size_t bytes;
};

// A program or library: its symbols are read from its file.
struct Object {
  std::map<std::uintptr_t, Function> functions;
  std::map<std::uintptr_t, unsigned> threads;  // first instruction of a kernel with launch bounds
  std::vector<Variable> variables;
};

// A file as bytes in memory; empty where it cannot be read.
class FileBytes {
 public:
  explicit FileBytes(const char* path) {
    const int file = open(path[0] == '\0' ? "/proc/self/exe" : path, O_RDONLY | O_CLOEXEC);
    struct stat about{};
    if (file >= 0 && fstat(file, &about) == 0) {
      size_ = static_cast<std::size_t>(about.st_size);
      data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    }
    if (file >= 0) close(file);
  }
  ~FileBytes() {
    if (!empty()) munmap(data_, size_);
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  bool empty() const { return data_ == MAP_FAILED; }
  template <typename T>
  const T* at(std::size_t offset) const {
    return reinterpret_cast<const T*>(static_cast<const char*>(data_) + offset);
  }

 private:
  void* data_ = MAP_FAILED;
  std::size_t size_ = 0;
};

void read_symbols(Object& object, const FileBytes& file, const ElfW(Shdr) & table, const ElfW(Shdr) & strings,
                  std::uintptr_t base) {
  const auto* symbols = file.at<ElfW(Sym)>(table.sh_offset);
  for (std::size_t i = 0; i < table.sh_size / sizeof *symbols; ++i) {
    const char* name = file.at<char>(strings.sh_offset + symbols[i].st_name);
    const auto type = ELF64_ST_TYPE(symbols[i].st_info);
    if (type == STT_FUNC && symbols[i].st_shndx != SHN_UNDEF)
      object.functions[base + symbols[i].st_value] = {name, symbols[i].st_size};
    if (type == STT_TLS && std::strstr(name, "B15emulated_shared") != nullptr)
      object.variables.push_back({name, symbols[i].st_value, symbols[i].st_size});
  }
}

// Each entry is the address of the no-ops in front of a kernel, one for each thread.
void read_launch_bounds(Object& object, const ElfW(Shdr) & section, std::uintptr_t base) {
  const auto* entries = reinterpret_cast<const std::uintptr_t*>(base + section.sh_addr);
  for (std::size_t i = 0; i < section.sh_size / sizeof *entries; ++i) {
    const auto* code = reinterpret_cast<const unsigned char*>(entries[i]);
    if (code == nullptr) continue;
    unsigned threads = 0;
    while (code[threads] == 0x90) ++threads;
    object.threads[entries[i] + threads] = threads;
  }
}

std::unique_ptr<Object> read_object(const char* path, std::uintptr_t base) {
  auto object = std::make_unique<Object>();
  const FileBytes file(path);
  if (file.empty()) return object;
  const auto* header = file.at<ElfW(Ehdr)>(0);
  const auto* sections = file.at<ElfW(Shdr)>(header->e_shoff);
  const char* names = file.at<char>(sections[header->e_shstrndx].sh_offset);
  for (std::size_t i = 0; i < header->e_shnum; ++i) {
    const auto& section = sections[i];
    if (section.sh_type == SHT_SYMTAB) read_symbols(*object, file, section, sections[section.sh_link], base);
    if (std::strcmp(names + section.sh_name, "__patchable_function_entries") == 0)
      read_launch_bounds(*object, section, base);
  }
  return object;
}

// The loaded object that an address lies in.
struct Found {
  std::uintptr_t address = 0;
  std::uintptr_t base = 0;
  std::string path;
  char* thread_locals = nullptr;  // this host thread's
  bool found = false;
};

Found object_at(const void* address) {
  Found found;
  found.address = reinterpret_cast<std::uintptr_t>(address);
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& wanted = *static_cast<Found*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const std::uintptr_t start = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type != PT_LOAD || wanted.address < start || wanted.address >= start + segment.p_memsz)
            continue;
          wanted.base = info->dlpi_addr;
          wanted.path = info->dlpi_name;
          wanted.thread_locals = static_cast<char*>(info->dlpi_tls_data);
          wanted.found = true;
          return 1;
        }
        return 0;
      },
      &found);
  return found;
}

std::mutex mutex;

const Object& object_of(const Found& found) {
  static auto* objects = new std::map<std::uintptr_t, std::unique_ptr<Object>>;
  auto& object = (*objects)[found.base];
  if (!object) object = read_object(found.path.c_str(), found.base);
  return *object;
}

std::string readable(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  if (!text) return mangled;
  std::string name = text.get();
  for (const char* drop : {"(anonymous namespace)::", "void "})
    for (auto i = name.find(drop); i != std::string::npos; i = name.find(drop)) name.erase(i, std::strlen(drop));
  return name.substr(0, name.find('('));
}

// What is local to the function _Z<name> is called _ZZ<name>E<variable>.
bool is_local_to(const Variable& variable, const std::string& function) {
  return function.starts_with("_Z") && variable.name.starts_with("_ZZ") &&
         variable.name.compare(3, function.size() - 2, function, 2) == 0 &&
         variable.name.size() > function.size() + 1 && variable.name[function.size() + 1] == 'E';
}

KernelFacts facts_in(const Object& object, std::uintptr_t kernel) {
  KernelFacts facts;
  facts.name = "a kernel without a name";
  if (const auto function = object.functions.find(kernel); function != object.functions.end()) {
    const std::string& name = function->second.name;
    facts.name = readable(name);
    for (const auto& variable : object.variables)
      if (is_local_to(variable, name)) facts.static_shared += variable.bytes;
  }
  if (const auto bounds = object.threads.find(kernel); bounds != object.threads.end())
    facts.most_threads = bounds->second;
  return facts;
}

// Only kernels have launch bounds.
bool belongs_to_another(const Object& object, const Variable& variable, std::uintptr_t kernel) {
  for (const auto& [address, threads] : object.threads) {
    const auto function = object.functions.find(address);
    if (address != kernel && function != object.functions.end() && is_local_to(variable, function->second.name))
      return true;
  }
  return false;
}

}  // namespace

const KernelFacts& facts_of(const void* kernel) {
  const std::lock_guard lock(mutex);
  static auto* known = new std::map<const void*, KernelFacts>;
  if (const auto found = known->find(kernel); found != known->end()) return found->second;
  const Found found = object_at(kernel);
  return (*known)[kernel] =
             found.found ? facts_in(object_of(found), found.address) : KernelFacts{"an unknown kernel", 1024, 0};
}

const std::vector<SharedVariable>& shared_variables(const void* kernel) {
  thread_local std::map<const void*, std::vector<SharedVariable>> known;
  if (const auto found = known.find(kernel); found != known.end()) return found->second;
  auto& variables = known[kernel];
  const Found found = object_at(kernel);
  if (!found.found || found.thread_locals == nullptr) return variables;
  const std::lock_guard lock(mutex);
  const Object& object = object_of(found);
  for (const auto& variable : object.variables)
    if (!belongs_to_another(object, variable, found.address))
      variables.push_back({found.thread_locals + variable.offset, variable.bytes});
  return variables;
}

}  // namespace emulation
