#include "comm/ranks.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "comm/host_communicator.h"
#include "comm/thread_rendezvous.h"
#include "comm/window_transport.h"

namespace shardlora {

void run_thread_ranks(int ranks, const std::function<void(Rendezvous&)>& body) {
  std::vector<std::unique_ptr<Rendezvous>> all = make_thread_ranks(ranks);
  std::vector<std::exception_ptr> errors(all.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < all.size(); ++r)
    threads.emplace_back([&, r] {
      try {
        body(*all[r]);
      } catch (...) {
        errors[r] = std::current_exception();
        all[r]->abort(1);
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
  std::unique_ptr<Communicator> make_communicator(Device& device, const std::string& name) override {
    auto transport = std::make_unique<WindowTransport>(WindowSegment::for_processes(*this), rank());
    exchange({});
    return std::make_unique<HostCommunicator>(std::move(transport), device, name);
  }
  void abort(int) noexcept override { transport_.abort(); }

 private:
  WindowTransport transport_;
};

[[noreturn]] void be_rank(const std::shared_ptr<WindowSegment>& segment, int rank, int ready_to_read,
                          const std::function<void(Rendezvous&)>& body) {
  int result = 1;
  alarm(60);
  try {
    ForkedRendezvous rendezvous(segment, rank);
    char byte;
    if (read(ready_to_read, &byte, 1) != 1) throw std::runtime_error("the parent is gone");
    body(rendezvous);
    result = 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
  }
  std::fflush(nullptr);
  _exit(result);
}

}  // namespace

void run_process_ranks(int ranks, const std::function<void(Rendezvous&)>& body, int killed) {
  const auto segment = WindowSegment::for_children(ranks);
  int start[2];
  if (pipe(start) != 0) throw std::runtime_error("no pipe");
  std::vector<pid_t> children;
  for (int r = 0; r < ranks; ++r) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("no fork");
    if (child == 0) be_rank(segment, r, start[0], body);
    children.push_back(child);
  }
  // No rank may look at a peer before that has written who it is.
  for (int r = 0; r < ranks; ++r)
    while (reinterpret_cast<std::atomic<std::uint64_t>&>(segment->words(r).started).load() == 0) usleep(200);
  const std::vector<char> go(static_cast<std::size_t>(ranks), 'g');
  if (write(start[1], go.data(), go.size()) != ranks) throw std::runtime_error("no pipe");
  std::string problem;
  for (int r = 0; r < ranks; ++r) {  // in this order: a dead rank stays a zombie while the ranks before it still run
    int status = 0;
    waitpid(children[static_cast<std::size_t>(r)], &status, 0);
    const bool right = r == killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                                   : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!right) problem += fmt::format("rank {} ended with status {:#x}; ", r, status);
  }
  close(start[0]);
  close(start[1]);
  if (!problem.empty()) throw std::runtime_error(problem);
}

}  // namespace shardlora
