// Any thread may call a GPU's device and its streams, also one that never chose a GPU, which is on GPU 0.
#include <gtest/gtest.h>

#include <thread>

#include "backend/cuda/cuda_stream.h"
#include "backend/gpu.h"
#include "emulation/runtime.h"

namespace shardlora {
namespace {

TEST(DeviceOfAThread, IsTheOneWhoseMemoryAndStreamsItUses) {
  const std::unique_ptr<Device> device = make_gpu_device({.ordinal = 1});
  const std::unique_ptr<Stream> made = device->make_stream("other");
  auto& other = dynamic_cast<CudaStream&>(*made);
  // A new thread for every call: none profits from what another one did.
  const auto without_device = [](const auto& call) {
    emulation::fail_no_call();
    std::thread(call).join();
    return emulation::calls_without_device();
  };
  Event event;
  EXPECT_EQ(without_device([&] { event = other.record(); }), "");
  EXPECT_EQ(without_device([&] { device->compute().wait(event); }), "");
  EXPECT_EQ(without_device([&] { other.done(event); }), "");
  EXPECT_EQ(without_device([&] { other.synchronize(event); }), "");
  EXPECT_EQ(without_device([&] { other.synchronize(); }), "");
  EXPECT_EQ(without_device([&] { device->make_stream("a third one"); }), "");
  Buffer pinned, memory;
  EXPECT_EQ(without_device([&] { pinned = device->allocate(1, Tier::kPinned, Purpose::kWorkspace); }), "");
  EXPECT_EQ(without_device([&] { memory = device->allocate(1, Tier::kDevice, Purpose::kWorkspace); }), "");
  EXPECT_EQ(emulation::device_of_memory(memory.data()), 1);
  EXPECT_EQ(without_device([&] { device->poison(memory.data(), 1, other); }), "");
  EXPECT_EQ(without_device([&] { device->copy(memory.data(), pinned.data(), 1, other); }), "");
  other.synchronize();
}

// Collectives go before kernels that wait for multiprocessors: whoever waits for their data waits for all of them.
TEST(Streams, OfTrafficGoBeforeTheComputeStream) {
  const std::unique_ptr<Device> device = make_gpu_device({});
  const std::unique_ptr<Stream> traffic = device->make_stream("traffic");
  const auto priority = [](Stream& stream) {
    int value = 0;
    EXPECT_EQ(cudaStreamGetPriority(dynamic_cast<CudaStream&>(stream).native(), &value), cudaSuccess);
    return value;
  };
  EXPECT_LT(priority(*traffic), priority(device->compute())) << "the smaller number is the higher priority";
  EXPECT_EQ(priority(device->compute()), 0);
}

}  // namespace
}  // namespace shardlora
