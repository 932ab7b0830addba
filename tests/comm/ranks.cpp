#include "comm/ranks.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "comm/tcp_rendezvous.h"
#include "comm/thread_rendezvous.h"
#include "comm/window_transport.h"

namespace shardlora {

namespace {

using MakeRank = std::function<std::unique_ptr<Rendezvous>(int rank)>;

void run_threads(int ranks, const MakeRank& make, const std::function<void(Rendezvous&)>& body) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      std::unique_ptr<Rendezvous> rendezvous;
      try {
        rendezvous = make(r);
        body(*rendezvous);
      } catch (...) {
        errors[static_cast<std::size_t>(r)] = std::current_exception();
        if (rendezvous) rendezvous->abort(1);
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::exception_ptr peer_failed;
  for (const std::exception_ptr& error : errors) {
    if (!error) continue;
    try {
      std::rethrow_exception(error);
    } catch (const PeerFailed&) {
      peer_failed = error;
    }
  }
  if (peer_failed) std::rethrow_exception(peer_failed);
}

std::unique_ptr<Rendezvous> tcp_rank(int rank, int ranks, int port) {
  return std::make_unique<TcpRendezvous>(TcpRank{rank, ranks, -1, -1, "127.0.0.1", port}, "test",
                                         std::chrono::seconds(30));
}

}  // namespace

void run_thread_ranks(int ranks, const std::function<void(Rendezvous&)>& body) {
  std::vector<std::unique_ptr<Rendezvous>> all = make_thread_ranks(ranks);
  run_threads(ranks, [&](int r) { return std::move(all[static_cast<std::size_t>(r)]); }, body);
}

void run_tcp_thread_ranks(int ranks, const std::function<void(Rendezvous&)>& body) {
  run_threads(ranks, [ranks, port = free_port()](int r) { return tcp_rank(r, ranks, port); }, body);
}

int free_port() {
  int error = 0;
  return listen_at("127.0.0.1", 0, error).local().port;
}

namespace {

// What mpirun gives: ranks that can exchange strings. Here over memory that was there before the fork.
class ForkedRendezvous final : public Rendezvous {
 public:
  ForkedRendezvous(std::shared_ptr<WindowSegment> segment, int rank) : transport_(std::move(segment), rank) {}
  int rank() const override { return transport_.rank(); }
  int size() const override { return transport_.size(); }
  int local_rank() const override { return rank(); }
  int local_size() const override { return size(); }
  std::vector<std::string> exchange(const std::string& mine) override { return exchange_strings(transport_, mine); }
  std::unique_ptr<Transport> make_transport() override {
    auto transport = std::make_unique<WindowTransport>(WindowSegment::for_processes(*this), rank());
    exchange({});
    return transport;
  }
  void abort(int) noexcept override { transport_.abort(); }

 private:
  WindowTransport transport_;
};

[[noreturn]] void be_rank(int rank, const MakeRank& make, const std::function<void(Rendezvous&)>& body) {
  int result = 1;
  alarm(60);
  try {
    body(*make(rank));
    result = 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
  }
  std::fflush(nullptr);
  _exit(result);
}

void run_processes(int ranks, const MakeRank& make, const std::function<void(Rendezvous&)>& body, int killed,
                   const std::function<void()>& once_forked) {
  std::vector<pid_t> children;
  for (int r = 0; r < ranks; ++r) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("no fork");
    if (child == 0) be_rank(r, make, body);
    children.push_back(child);
  }
  once_forked();
  std::string problem;
  for (int r = 0; r < ranks; ++r) {  // in this order: a dead rank stays a zombie while the ranks before it still run
    int status = 0;
    waitpid(children[static_cast<std::size_t>(r)], &status, 0);
    const bool right = r == killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                                   : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!right) problem += fmt::format("rank {} ended with status {:#x}; ", r, status);
  }
  if (!problem.empty()) throw std::runtime_error(problem);
}

}  // namespace

void run_process_ranks(int ranks, const std::function<void(Rendezvous&)>& body, int killed) {
  const auto segment = WindowSegment::for_children(ranks);
  int start[2];
  if (pipe(start) != 0) throw std::runtime_error("no pipe");
  const Socket read_end(start[0]), write_end(start[1]);
  const auto make = [&](int rank) {
    auto rendezvous = std::make_unique<ForkedRendezvous>(segment, rank);
    char byte;
    if (read(start[0], &byte, 1) != 1) throw std::runtime_error("the parent is gone");
    return rendezvous;
  };
  // No rank may look at a peer before that has written who it is.
  const auto start_all = [&] {
    for (int r = 0; r < ranks; ++r)
      while (reinterpret_cast<std::atomic<std::uint64_t>&>(segment->words(r).started).load() == 0) usleep(200);
    const std::vector<char> go(static_cast<std::size_t>(ranks), 'g');
    if (write(start[1], go.data(), go.size()) != ranks) throw std::runtime_error("no pipe");
  };
  run_processes(ranks, make, body, killed, start_all);
}

void run_tcp_process_ranks(int ranks, const std::function<void(Rendezvous&)>& body, int killed) {
  run_processes(ranks, [ranks, port = free_port()](int r) { return tcp_rank(r, ranks, port); }, body, killed, [] {});
}

}  // namespace shardlora
