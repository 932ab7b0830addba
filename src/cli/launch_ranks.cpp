#include "cli/launch_ranks.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "comm/socket.h"

namespace shardlora {

namespace {

constexpr std::chrono::seconds kGrace(10);             // after SIGTERM because of another rank: it has nothing to save
constexpr std::chrono::seconds kStopGrace(60);         // after the user's signal: to finish the step and write
constexpr std::chrono::milliseconds kSameSignal(500);  // timeout(1) and others send a signal twice
constexpr int kMostRanks = 256;

int number(const std::string& option, const std::string& text, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    throw UsageError(
        fmt::format("{} {}: not a number from {} to {}; see launch/shardrun --help", option, text, least, most));
  return value;
}

// Lines of a rank, whole ones only, each behind its number.
class Lines {
 public:
  Lines(int rank, Socket from, int to) : prefix_(fmt::format("[rank {}] ", rank)), from_(std::move(from)), to_(to) {}
  int descriptor() const { return from_.descriptor(); }
  // False at the end.
  bool read_some() {
    char bytes[4096];
    const ssize_t got = read(from_.descriptor(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) return true;
    if (got > 0) open_.append(bytes, static_cast<std::size_t>(got));
    if (got <= 0 && !open_.empty()) open_ += '\n';
    for (std::size_t end; (end = open_.find('\n')) != std::string::npos; open_.erase(0, end + 1))
      write_all(prefix_ + open_.substr(0, end + 1));
    return got > 0;
  }

 private:
  void write_all(const std::string& text) const {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t put = write(to_, text.data() + done, text.size() - done);
      if (put < 0 && errno != EINTR) return;  // nobody reads it any more
      if (put > 0) done += static_cast<std::size_t>(put);
    }
  }

  std::string prefix_, open_;
  Socket from_;
  int to_;
};

struct Rank {
  pid_t pid = -1;  // -1: ended
  int number = 0;
};

class Job {
 public:
  explicit Job(const Launch& launch);
  int stand_by();

 private:
  void start(int rank, const Launch& launch, int port);
  [[noreturn]] void become_rank(int rank, const Launch& launch, int port, int out, int err);
  void on_signal(int signal);
  void reap();
  void send(int signal);
  bool running() const {
    return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.pid > 0; });
  }

  sigset_t watched_{}, before_{};
  Socket signals_;  // a signalfd
  std::vector<Rank> ranks_;
  std::vector<Lines> lines_;
  int code_ = 0;
  bool stopping_ = false;  // the user's signal was passed on
  bool ended_ = false;     // the rest was told to end because a rank failed
  Deadline kill_at_ = Deadline::max(), last_signal_{};
};

Job::Job(const Launch& launch) {
  sigemptyset(&watched_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&watched_, signal);
  sigprocmask(SIG_BLOCK, &watched_, &before_);
  signal(SIGPIPE, SIG_IGN);  // whoever read our output has gone: the ranks' work is still wanted
  signals_ = Socket(signalfd(-1, &watched_, SFD_CLOEXEC));
  if (!signals_.open()) fail("cannot watch signals: {}", std::strerror(errno));
  int port = launch.port, error = 0;
  if (port == 0) {
    const Socket found = listen_at("127.0.0.1", 0, error);
    if (!found.open()) fail("no free port on 127.0.0.1: {}", std::strerror(error));
    port = found.local().port;
  }
  for (int r = 0; r < launch.ranks; ++r) start(r, launch, port);
}

void Job::start(int rank, const Launch& launch, int port) {
  int out[2] = {-1, -1}, err[2] = {-1, -1};
  if (rank > 0 && (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0))
    fail("no pipe for rank {}: {}", rank, std::strerror(errno));
  const Socket out_end(out[1]), err_end(err[1]);
  const pid_t parent = getpid(), child = fork();
  if (child < 0) {
    const int reason = errno;
    send(SIGKILL);
    fail("cannot start rank {}: {}", rank, std::strerror(reason));
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    become_rank(rank, launch, port, out[1], err[1]);
  }
  ranks_.push_back({child, rank});
  if (rank > 0) {
    lines_.emplace_back(rank, Socket(out[0]), STDOUT_FILENO);
    lines_.emplace_back(rank, Socket(err[0]), STDERR_FILENO);
  }
}

// A process group of its own: the terminal's Ctrl-C reaches the launcher alone, which passes it on once.
void Job::become_rank(int rank, const Launch& launch, int port, int out, int err) {
  setpgid(0, 0);
  if (rank > 0) {
    if (const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC); nothing >= 0) dup2(nothing, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
  }
  // Another launcher's word on this process would come first.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PMI_SIZE",
                           "TORCHELASTIC_USE_AGENT_STORE"})
    unsetenv(name);
  const auto set = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
  set("RANK", std::to_string(rank));
  set("LOCAL_RANK", std::to_string(rank));
  set("WORLD_SIZE", std::to_string(launch.ranks));
  set("LOCAL_WORLD_SIZE", std::to_string(launch.ranks));
  set("MASTER_ADDR", "127.0.0.1");
  set("MASTER_PORT", std::to_string(port));
  sigprocmask(SIG_SETMASK, &before_, nullptr);
  signal(SIGPIPE, SIG_DFL);
  std::vector<char*> arguments{const_cast<char*>("shardlora")};
  for (const std::string& argument : launch.command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  _exit(127);
}

void Job::send(int signal) {
  for (const Rank& rank : ranks_)
    if (rank.pid > 0) kill(rank.pid, signal);
}

void Job::on_signal(int signal) {
  const auto now = std::chrono::steady_clock::now();
  if (stopping_ && now < last_signal_ + kSameSignal) return;
  last_signal_ = now;
  send(signal);
  kill_at_ = now + (stopping_ || ended_ ? kGrace : kStopGrace);
  stopping_ = true;
}

void Job::reap() {
  for (Rank& rank : ranks_) {
    int status = 0;
    if (rank.pid <= 0 || waitpid(rank.pid, &status, WNOHANG) != rank.pid) continue;
    const pid_t pid = std::exchange(rank.pid, -1);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    if (code_ == 0) {
      code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      if (WIFSIGNALED(status) && !stopping_)
        fmt::print(stderr, "shardrun: rank {} (process {}) was ended by signal {} ({}){}\n", rank.number, pid,
                   WTERMSIG(status), strsignal(WTERMSIG(status)),
                   WTERMSIG(status) == SIGKILL ? "; where nobody sent it, the system ran out of memory" : "");
    }
    if (stopping_ || ended_) continue;  // they are on their way out
    ended_ = true;
    send(SIGTERM);
    kill_at_ = deadline_in(kGrace);
  }
}

int Job::stand_by() {
  while (running() || !lines_.empty()) {
    std::vector<pollfd> entries{{signals_.descriptor(), POLLIN, 0}};
    for (const Lines& lines : lines_) entries.push_back({lines.descriptor(), POLLIN, 0});
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(kill_at_ - std::chrono::steady_clock::now());
    const int wait =
        kill_at_ == Deadline::max() ? -1 : static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60000));
    if (poll(entries.data(), entries.size(), wait) < 0 && errno != EINTR) fail("poll: {}", std::strerror(errno));
    for (std::size_t i = entries.size(); --i > 0;)
      if (entries[i].revents != 0 && !lines_[i - 1].read_some())
        lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(i - 1));
    signalfd_siginfo info{};
    if ((entries[0].revents & POLLIN) != 0 && read(signals_.descriptor(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD)
        reap();
      else
        on_signal(static_cast<int>(info.ssi_signo));
    }
    if (std::chrono::steady_clock::now() >= kill_at_) {
      send(SIGKILL);
      kill_at_ = Deadline::max();
      if (code_ == 0) code_ = 128 + SIGKILL;
    }
  }
  return code_;
}

}  // namespace

Launch parse_launch(const std::vector<std::string>& arguments) {
  Launch launch;
  std::size_t i = 0;
  for (; i < arguments.size() && arguments[i] != "--"; ++i) {
    std::string option = arguments[i], value;
    const std::size_t equals = option.find('=');
    const bool has_value = equals != std::string::npos;
    if (has_value) value = option.substr(equals + 1), option.erase(equals);
    std::replace(option.begin(), option.end(), '_', '-');  // torchrun takes both
    if (option != "--nproc-per-node" && option != "--master-port") {
      for (const char* later :
           {"--nnodes", "--node-rank", "--master-addr", "--max-restarts", "--log-dir", "--standalone"})
        if (option == later)
          throw UsageError(
              fmt::format("{}: this version's launcher does not have it: it starts ranks on this host, once; "
                          "for several hosts use mpirun, srun --mpi=pmix or torchrun --no-python",
                          later));
      throw UsageError(
          fmt::format("{}: not an option of the launcher; what the ranks run comes after --; see "
                      "launch/shardrun --help",
                      arguments[i]));
    }
    if (!has_value) {
      ++i;
      if (i == arguments.size() || arguments[i] == "--") throw UsageError(fmt::format("{} needs a number", option));
      value = arguments[i];
    }
    if (option == "--nproc-per-node")
      launch.ranks = number(option, value, 1, kMostRanks);
    else
      launch.port = number(option, value, 1, 65535);
  }
  if (i + 1 >= arguments.size())
    throw UsageError("what shall the ranks run? launch/shardrun [--nproc-per-node N] -- train CONFIG.yaml");
  launch.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
  if (launch.command[0] == "launch") throw UsageError("launch inside launch");
  if (launch.command[0] == "chat" && isatty(STDIN_FILENO) == 1)
    throw UsageError("chat at a terminal runs without the launcher: shardlora chat ...");
  return launch;
}

int launch_ranks(const Launch& launch) { return Job(launch).stand_by(); }

}  // namespace shardlora
