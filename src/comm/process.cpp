#include "comm/process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace shardlora {

std::uint64_t process_start(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');  // "pid (name) state ..." and the name may hold anything
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return 0;
  for (int i = 4; i <= 22; ++i) fields >> field;  // proc(5): field 3 is the state, field 22 the start
  return fields ? std::stoull(field) : 0;
}

std::string host_identity() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  std::string boot;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, boot);
  std::error_code ignored;  // no such link: an empty text, as on every other rank of such a host
  const std::string pids = std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
  return fmt::format("{} {} {}", name, boot, pids);
}

}  // namespace shardlora
