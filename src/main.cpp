#include <csignal>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>

#include "base/error.h"
#include "cli/launch_ranks.h"
#include "cli/verbs.h"
#include "run/stop_signal.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

// The rank even where the rendezvous could not be made.
int rank_of(const shardlora::Rendezvous* rendezvous) {
  if (rendezvous != nullptr) return rendezvous->rank();
  for (const char* const variable : {"OMPI_COMM_WORLD_RANK", "RANK"})
    if (const char* const launched = std::getenv(variable); launched != nullptr) return std::atoi(launched);
  return 0;
}

// One message from one rank. Ranks mostly fail of the same cause: rank 0 prints it and ends the job while the others
// still wait for their turn to speak. mpirun's SIGTERM ends that wait; one that came before is the same end.
int fail_job(shardlora::Rendezvous* rendezvous, const char* what, int code) {
  using std::chrono::milliseconds;
  if (const int rank = rank_of(rendezvous); rank > 0) {
    signal(SIGTERM, SIG_DFL);
    std::this_thread::sleep_for(std::min(milliseconds(2000) + rank * milliseconds(100), milliseconds(5000)));
    if (shardlora::stop_requested()) return code;
  }
  fmt::print(stderr, "shardlora: {}\n", what);
  std::fflush(stderr);
  if (rendezvous != nullptr && rendezvous->size() > 1) rendezvous->abort(code);
  return code;
}

using Verbs = std::vector<std::pair<CLI::App*, shardlora::Verb>>;

// Not one of the verbs: it is no rank, it starts them.
int launch(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    fmt::print("{}", shardlora::kLaunchHelp);
    return kDone;
  }
  return shardlora::launch_ranks(shardlora::parse_launch(arguments));
}

void check_command(const Verbs& verbs, int argc, char** argv) {
  std::string names;
  for (const auto& [command, run] : verbs) {
    if (argc > 1 && command->get_name() == argv[1]) return;
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  if (argc < 2) throw shardlora::UsageError(fmt::format("a command is missing: {}; see shardlora --help", names));
  if (argv[1][0] != '-')
    throw shardlora::UsageError(fmt::format("unknown command \"{}\"; the commands are: {}", argv[1], names));
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): options that are defined wrongly end the program
int main(int argc, char** argv) {
  CLI::App app("LoRA fine-tuning of large language models on home machines", "shardlora");
  app.require_subcommand(1);
  app.set_version_flag("--version", "shardlora " SHARDLORA_VERSION);
  Verbs verbs;
  for (auto add : {shardlora::add_train, shardlora::add_eval, shardlora::add_generate, shardlora::add_chat,
                   shardlora::add_preview, shardlora::add_tokenize, shardlora::add_quantize, shardlora::add_keys}) {
    shardlora::Verb verb = add(app);
    verbs.emplace_back(app.get_subcommands({}).back(), std::move(verb));
  }
  app.footer("launch/shardrun starts several ranks of a command on this host (shardlora launch --help).");
  std::unique_ptr<shardlora::Rendezvous> rendezvous;
  try {
    if (argc > 1 && std::string_view(argv[1]) == "launch") return launch(argc, argv);
    rendezvous = shardlora::make_rendezvous();
    check_command(verbs, argc, argv);
    app.parse(argc, argv);
    for (const auto& [command, run] : verbs)
      if (command->parsed()) run(*rendezvous);
    return kDone;
  } catch (const CLI::Success& e) {  // --help, --version
    return rank_of(rendezvous.get()) == 0 ? app.exit(e) : kDone;
  } catch (const CLI::ParseError& e) {
    return fail_job(rendezvous.get(), fmt::format("{}; see shardlora --help", e.what()).c_str(), kUsage);
  } catch (const shardlora::PeerFailed& e) {
    signal(SIGTERM, SIG_DFL);  // the launcher ends this rank
    if (shardlora::stop_requested()) return kFailed;
    std::this_thread::sleep_for(std::chrono::seconds(6));  // the failed rank speaks and ends the job, if it still can
    return fail_job(rendezvous.get(), e.what(), kFailed);
  } catch (const shardlora::UsageError& e) {
    return fail_job(rendezvous.get(), e.what(), kUsage);
  } catch (const std::bad_alloc&) {
    return fail_job(rendezvous.get(), "this machine has no more memory; end other programs, or give it less to do",
                    kFailed);
  } catch (const std::exception& e) {
    return fail_job(rendezvous.get(), e.what(), kFailed);
  }
}
