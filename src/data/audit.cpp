#include "data/audit.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "base/parallel.h"

namespace shardlora {
namespace {

std::string_view bytes_of(const std::vector<std::int32_t>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(std::int32_t)};
}

bool begins_twice(const Sample& sample, const Tokenizer& tokenizer) {
  return tokenizer.bos() && sample.tokens.size() > 1 && sample.tokens[0] == *tokenizer.bos() &&
         sample.tokens[1] == *tokenizer.bos();
}

// Control tokens by their letters.
class Spellings {
 public:
  explicit Spellings(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      const std::string_view token = tokenizer.bytes_of(id);
      // One or two letters would be found in any text.
      if (!tokenizer.is_control(id) || token.size() < 3) continue;
      tokens_.insert(token);
      std::vector<std::size_t>& lengths = lengths_[static_cast<unsigned char>(token[0])];
      if (std::find(lengths.begin(), lengths.end(), token.size()) == lengths.end()) lengths.push_back(token.size());
    }
  }
  // The first one that a sample's text spells without meaning it.
  std::string_view find_in(const Sample& sample) const {
    std::string text;
    for (const std::int32_t id : sample.tokens)
      if (!tokenizer_.is_control(id)) text += tokenizer_.bytes_of(id);
    for (std::size_t at = 0; at < text.size(); ++at) {
      for (const std::size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
        const auto found = tokens_.find(std::string_view(text).substr(at, length));
        if (found != tokens_.end()) return *found;
      }
    }
    return {};
  }

 private:
  const Tokenizer& tokenizer_;
  std::unordered_set<std::string_view> tokens_;
  std::vector<std::size_t> lengths_[256];  // by first byte
};

// Finds held-out samples inside others by a rolling hash over a window from their middles, since beginnings and ends
// are the template's and much alike. Ones shorter than the window are found only where they are all of the other.
class HeldOut {
 public:
  static constexpr std::size_t kWindow = 16;

  explicit HeldOut(const std::vector<Sample>& samples) : samples_(samples) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::vector<std::int32_t>& tokens = samples[i].tokens;
      whole_.emplace(std::hash<std::string_view>{}(bytes_of(tokens)), i);
      if (tokens.size() < kWindow) continue;
      const std::size_t begin = (tokens.size() - kWindow) / 2;
      std::uint64_t hash = 0;
      for (std::size_t k = 0; k < kWindow; ++k) hash = hash * kBase + value(tokens[begin + k]);
      windows_[hash].push_back({i, begin});
    }
  }

  // The first one that is in `tokens`; null where none is.
  const Sample* find_in(const std::vector<std::int32_t>& tokens) const {
    const auto [same, end] = whole_.equal_range(std::hash<std::string_view>{}(bytes_of(tokens)));
    for (auto it = same; it != end; ++it)
      if (samples_[it->second].tokens == tokens) return &samples_[it->second];
    if (windows_.empty() || tokens.size() < kWindow) return nullptr;
    std::uint64_t hash = 0, top = 1;
    for (std::size_t k = 1; k < kWindow; ++k) top *= kBase;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i >= kWindow) hash -= top * value(tokens[i - kWindow]);
      hash = hash * kBase + value(tokens[i]);
      if (i + 1 < kWindow) continue;
      const auto found = windows_.find(hash);
      if (found == windows_.end()) continue;
      for (const auto& [sample, middle] : found->second)
        if (holds(tokens, i + 1 - kWindow, samples_[sample].tokens, middle)) return &samples_[sample];
    }
    return nullptr;
  }

 private:
  static constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15;
  static std::uint64_t value(std::int32_t token) { return static_cast<std::uint64_t>(token) + 1; }
  static bool holds(const std::vector<std::int32_t>& tokens, std::size_t at, const std::vector<std::int32_t>& part,
                    std::size_t middle) {
    if (at < middle || at - middle + part.size() > tokens.size()) return false;
    return std::equal(part.begin(), part.end(), tokens.begin() + static_cast<std::ptrdiff_t>(at - middle));
  }
  const std::vector<Sample>& samples_;
  std::unordered_multimap<std::size_t, std::size_t> whole_;
  std::unordered_map<std::uint64_t, std::vector<std::pair<std::size_t, std::size_t>>> windows_;
};

std::string number(std::int64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

double percent(std::int64_t part, std::int64_t all) {
  return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

// The end of a path, which says more than its beginning.
std::string shortened(const std::string& path, std::size_t width) {
  if (path.size() <= width) return path;
  std::size_t from = path.size() - width + 1;
  while (from < path.size() && (static_cast<unsigned char>(path[from]) & 0xC0) == 0x80) ++from;
  return "…" + path.substr(from);
}

void fill_lengths(Audit& a, const std::vector<Sample>& samples) {
  std::vector<std::int64_t> lengths;
  for (const Sample& s : samples) lengths.push_back(static_cast<std::int64_t>(s.tokens.size()));
  std::sort(lengths.begin(), lengths.end());
  a.samples = static_cast<std::int64_t>(lengths.size());
  if (lengths.empty()) return;
  a.shortest = lengths.front();
  a.median = lengths[lengths.size() / 2];
  a.longest = lengths.back();
  a.tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  constexpr int kBins = 10;
  const double range = static_cast<double>(a.longest) / static_cast<double>(std::max<std::int64_t>(a.shortest, 1));
  auto from = lengths.begin();
  for (int bin = 1; from != lengths.end(); ++bin) {
    const double exact = static_cast<double>(a.shortest) * std::pow(range, static_cast<double>(bin) / kBins);
    const std::int64_t end = bin == kBins ? a.longest : static_cast<std::int64_t>(exact);
    if (!a.lengths.empty() && end <= a.lengths.back().longest) continue;
    const auto to = std::upper_bound(from, lengths.end(), end);
    a.lengths.push_back({end, to - from});
    from = to;
  }
}

}  // namespace

std::vector<std::uint8_t> repeats_of(const std::vector<Sample>& samples) {
  std::vector<std::uint8_t> repeats(samples.size());
  std::unordered_multimap<std::size_t, std::size_t> seen;
  seen.reserve(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::size_t hash = std::hash<std::string_view>{}(bytes_of(samples[i].tokens));
    const auto [same, end] = seen.equal_range(hash);
    const bool repeated = std::any_of(same, end, [&](const auto& entry) {
      const Sample& other = samples[entry.second];
      return other.tokens == samples[i].tokens && other.trained == samples[i].trained;
    });
    if (repeated)
      repeats[i] = 1;
    else
      seen.emplace(hash, i);
  }
  return repeats;
}

Audit audit(const SampleSet& train, const SampleSet& held_out, const Tokenizer& tokenizer, std::int64_t sequence_len,
            int threads) {
  Audit a;
  a.datasets = train.datasets;
  a.total = train.total();
  fill_lengths(a, train.samples);
  a.held_out = static_cast<std::int64_t>(held_out.samples.size());
  a.held_out_datasets = held_out.datasets;
  a.repeats = train.repeats;
  a.repeats_removed = train.repeats_removed;

  const Spellings spellings(tokenizer);
  const HeldOut test(held_out.samples);
  constexpr std::size_t kTogether = 256;
  std::mutex mutex;
  std::size_t first_leak = train.samples.size(), first_spelt = train.samples.size();
  parallel_for((train.samples.size() + kTogether - 1) / kTogether, threads, [&](std::size_t part) {
    for (std::size_t i = part * kTogether; i < std::min((part + 1) * kTogether, train.samples.size()); ++i) {
      const Sample& sample = train.samples[i];
      const Sample* const leaked = test.find_in(sample.tokens);
      const std::string_view spelt = spellings.find_in(sample);
      const bool whole = static_cast<std::int64_t>(sample.tokens.size()) < sequence_len;
      const bool ends = !whole || sample.ends;
      const std::lock_guard lock(mutex);
      a.trained += std::accumulate(sample.trained.begin(), sample.trained.end(), std::int64_t{0});
      a.double_bos += begins_twice(sample, tokenizer) ? 1 : 0;
      a.endless += ends ? 0 : 1;
      a.leaks += leaked != nullptr ? 1 : 0;
      a.spelt_control += spelt.empty() ? 0 : 1;
      if (leaked != nullptr && i < first_leak) {
        first_leak = i;
        a.leak = fmt::format("{}:{} holds {}:{}", sample.source, sample.line, leaked->source, leaked->line);
      }
      if (!spelt.empty() && i < first_spelt) {
        first_spelt = i;
        a.spelt = spelt;
      }
    }
  });
  return a;
}

std::string Audit::text() const {
  std::string out = fmt::format("{:>10} {:>10} {:>8} {:>8} {:>5} {:>8}  dataset\n", "rows", "samples", "cut", "dropped",
                                "bad", "trained");
  const auto add = [&](const DatasetSummary& d, const std::string& name) {
    out += fmt::format("{:>10} {:>10} {:>8} {:>8} {:>5} {:>6.1f} %  {}\n", number(d.rows), number(d.samples),
                       number(d.cut), number(d.dropped), number(d.bad), percent(d.trained, d.tokens), name);
  };
  for (const DatasetSummary& d : datasets) add(d, shortened(d.path, 20));
  for (const DatasetSummary& d : held_out_datasets) add(d, "(test) " + shortened(d.path, 13));
  if (total.too_long > 0)
    out += fmt::format("{} rows ({:.2g} %) exceed sequence_len; the longest has {} tokens\n", number(total.too_long),
                       percent(total.too_long, total.rows), number(total.longest));
  out += fmt::format("to train on: {} samples, {} tokens, {:.1f} % of them trained\n", number(samples), number(tokens),
                     percent(trained, tokens));
  if (held_out > 0) out += fmt::format("held out: {} samples\n", number(held_out));
  out += fmt::format("tokens of a sample: {} to {}, median {}\n", number(shortest), number(longest), number(median));
  std::int64_t most = 1;
  for (const Bin& bin : lengths) most = std::max(most, bin.samples);
  for (const Bin& bin : lengths)
    out += fmt::format("  up to {:>9} {:>10} {}\n", number(bin.longest), number(bin.samples),
                       std::string(static_cast<std::size_t>((bin.samples * 48 + most - 1) / most), '#'));

  const auto warn = [&](const std::string& line) { out += "! " + line + "\n"; };
  if (repeats > 0)
    warn(fmt::format("{} samples are exact repeats of others{}", number(repeats),
                     repeats_removed ? " and were removed" : ";\n  dataset_exact_deduplication: true removes them"));
  if (leaks > 0)
    warn(fmt::format("{} samples hold a whole held-out one, so the eval loss flatters:\n  {}", number(leaks), leak));
  if (double_bos > 0)
    warn(fmt::format("{} samples open with BOS twice: one is in the text or the template", number(double_bos)));
  if (endless > 0)
    warn(fmt::format("{} samples train no token that ends an answer: the model won't\n  learn to stop from them",
                     number(endless)));
  if (spelt_control > 0)
    warn(
        fmt::format("{} samples spell a control token in their text ({}); its letters\n  are taken as text. Rows that "
                    "are rendered already want type: input_output",
                    number(spelt_control), spelt));
  return out;
}

}  // namespace shardlora
