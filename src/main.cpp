#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>

#include "base/error.h"
#include "cli/verbs.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

// One message from one rank. Ranks mostly fail of the same cause: the first one prints it and ends the job while the
// others still wait for their turn to speak. A rank that only heard of another's failure lets that one speak.
int fail_job(shardlora::Rendezvous* rendezvous, const char* what, int code) {
  using std::chrono::milliseconds;
  if (rendezvous != nullptr && rendezvous->rank() > 0)
    std::this_thread::sleep_for(
        std::min(milliseconds(500) + rendezvous->rank() * milliseconds(100), milliseconds(2500)));
  fmt::print(stderr, "shardlora: {}\n", what);
  std::fflush(stderr);
  if (rendezvous != nullptr && rendezvous->size() > 1) rendezvous->abort(code);
  return code;
}

int leave_to_the_failed_rank() {
  std::this_thread::sleep_for(std::chrono::seconds(4));
  return kFailed;
}

using Verbs = std::vector<std::pair<CLI::App*, shardlora::Verb>>;

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

int main(int argc, char** argv) {
  CLI::App app("LoRA fine-tuning of large language models on home machines", "shardlora");
  app.require_subcommand(1);
  app.set_version_flag("--version", "shardlora " SHARDLORA_VERSION);
  Verbs verbs;
  for (auto add : {shardlora::add_train, shardlora::add_eval, shardlora::add_generate, shardlora::add_preview,
                   shardlora::add_tokenize}) {
    shardlora::Verb verb = add(app);
    verbs.emplace_back(app.get_subcommands({}).back(), std::move(verb));
  }
  std::unique_ptr<shardlora::Rendezvous> rendezvous;
  try {
    rendezvous = shardlora::make_rendezvous();
    check_command(verbs, argc, argv);
    app.parse(argc, argv);
    for (const auto& [command, run] : verbs)
      if (command->parsed()) run(*rendezvous);
    return kDone;
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return fail_job(rendezvous.get(), fmt::format("{}; see shardlora --help", e.what()).c_str(), kUsage);
  } catch (const shardlora::PeerFailed&) {
    return leave_to_the_failed_rank();
  } catch (const shardlora::UsageError& e) {
    return fail_job(rendezvous.get(), e.what(), kUsage);
  } catch (const std::exception& e) {
    return fail_job(rendezvous.get(), e.what(), kFailed);
  }
}
