// Runs a function on every rank of a job inside a test: threads, or processes forked from it.
#pragma once

#include <functional>
#include <memory>

#include "comm/rendezvous.h"

namespace shardlora {

// What a rank threw is thrown here, the first rank's that is not PeerFailed.
void run_thread_ranks(int ranks, const std::function<void(Rendezvous&)>& body);

// Forks; call before this process starts threads. What a rank threw is printed and thrown here; `killed` is a rank that
// is expected to die by SIGKILL. A rank that is not done after 60 s is killed and that is an error.
void run_process_ranks(int ranks, const std::function<void(Rendezvous&)>& body, int killed = -1);

// As above, ranks that find each other by TCP: threads of this process, or forked ones.
void run_tcp_thread_ranks(int ranks, const std::function<void(Rendezvous&)>& body);
void run_tcp_process_ranks(int ranks, const std::function<void(Rendezvous&)>& body, int killed = -1);

// A port that nobody listens at.
int free_port();

}  // namespace shardlora
