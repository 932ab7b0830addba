// What the tests of this folder put between an engine and its communicator, and the units that they move.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_stream.h"
#include "backend/device.h"
#include "comm/communicator.h"
#include "param/spec.h"

namespace shardlora {

// Counts the collectives that were issued, and those that have arrived; each may arrive late.
class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(Communicator& inner, Device& device, std::chrono::milliseconds late = {})
      : inner_(inner), late_(late), pauses_(stream(device)), arrivals_(stream(device)) {}
  // "gather 4096": what was asked for, in order, with the bytes of a share.
  const std::vector<std::string>& issued() const { return issued_; }
  int arrived() const { return arrived_; }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override {
    return counted(fmt::format("gather {}", share), inner_.all_gather(out, mine, share, delayed(after)));
  }
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override {
    return counted("exchange", inner_.all_to_all(out, receive, in, send, delayed(after)));
  }
  void barrier() override { inner_.barrier(); }
  void synchronize(Event event) override { arrivals_->synchronize(event); }
  void abort() noexcept override { inner_.abort(); }

 private:
  static std::unique_ptr<CpuStream> stream(Device& device) {
    return std::unique_ptr<CpuStream>(&dynamic_cast<CpuStream&>(*device.make_stream("watched").release()));
  }
  Event delayed(Event after) {
    pauses_->wait(after);
    pauses_->submit([late = late_] { std::this_thread::sleep_for(late); });
    return pauses_->record();
  }
  Event counted(std::string call, Event done) {
    issued_.push_back(std::move(call));
    arrivals_->wait(done);
    arrivals_->submit([this] { ++arrived_; });
    return arrivals_->record();
  }
  Communicator& inner_;
  const std::chrono::milliseconds late_;
  std::vector<std::string> issued_;
  std::atomic<int> arrived_ = 0;
  std::unique_ptr<CpuStream> pauses_, arrivals_;
};

// Units of a frozen matrix and a trainable one each, all of different lengths, so that the length of one of two ranks'
// shares tells whose it is.
inline std::vector<UnitSpec> units_of_growing_size(std::size_t count) {
  std::vector<UnitSpec> units;
  for (std::size_t u = 0; u < count; ++u) {
    const std::string name(1, static_cast<char>('a' + u));
    const auto rows = static_cast<std::int64_t>(u + 1);
    const Format f32 = dense_format(DType::kF32);
    units.push_back({name, {{name + ".weight", {rows * 32, 64}, f32}, {name + ".lora", {rows * 128, 64}, f32, true}}});
  }
  return units;
}

}  // namespace shardlora
