// Parts of the engine that pass every call on to a real one. A test derives from one and changes what it wants to be
// wrong.
#pragma once

#include <memory>

#include "backend/device.h"
#include "comm/communicator.h"

namespace shardlora {

class OpsDecorator : public Ops {
 public:
  explicit OpsDecorator(Ops& inner) : inner_(inner) {}

  bool begin_rehearsal() override { return rehearsing_ = inner_.begin_rehearsal(); }
  void end_rehearsal() override {
    rehearsing_ = false;
    inner_.end_rehearsal();
  }
  void matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) override {
    inner_.matmul(y, a, op_a, b, op_b, accumulate, alpha);
  }
  void weight_gradients(std::span<const WeightGradient> jobs) override { inner_.weight_gradients(jobs); }
  void dequantize(Tensor y, const PackedTensor& w) override { inner_.dequantize(y, w); }
  void cast(Tensor y, ConstTensor x) override { inner_.cast(y, x); }
  void zero(Tensor y) override { inner_.zero(y); }
  void add(Tensor y, ConstTensor a, ConstTensor b) override { inner_.add(y, a, b); }
  void add_bias(Tensor y, ConstTensor bias) override { inner_.add_bias(y, bias); }
  void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) override {
    inner_.embed(y, tokens, table, slice);
  }
  void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) override {
    inner_.embed_backward(dtable, tokens, dy, slice);
  }
  void gather_rows(Tensor y, ConstTensor x, ConstTensor rows) override { inner_.gather_rows(y, x, rows); }
  void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) override { inner_.scatter_rows(y, x, rows); }
  void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) override {
    inner_.dropout(y, x, noise, p, accumulate);
  }
  void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) override {
    inner_.add_noise(x, noise, bounds, alpha);
  }
  void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) override {
    inner_.rms_norm(y, inv_rms, x, w, eps);
  }
  void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                         Accumulate accumulate) override {
    inner_.rms_norm_backward(dx, dy, x, inv_rms, w, accumulate);
  }
  void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) override {
    inner_.rope(x, positions, inv_freq, sign);
  }
  void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                 float scale) override {
    inner_.attention(o, lse, q, k, v, bounds, scale);
  }
  void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                          ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                          float scale) override {
    inner_.attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale);
  }
  void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                        float scale) override {
    inner_.attention_decode(o, cache, q, k, v, lengths, scale);
  }
  void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) override {
    inner_.fill_cache(cache, k, v, bounds);
  }
  void swiglu(Tensor y, ConstTensor gate, ConstTensor up) override { inner_.swiglu(y, gate, up); }
  void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) override {
    inner_.swiglu_backward(dgate, dup, dy, gate, up);
  }
  void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                     float gradient_scale) override {
    inner_.cross_entropy(losses, dlogits, logits, targets, gradient_scale);
  }
  void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets,
                           TableSlice slice) override {
    inner_.cross_entropy_slice(losses, state, logits, targets, slice);
  }
  void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                    TableSlice slice, float gradient_scale) override {
    inner_.cross_entropy_slice_backward(dlogits, state, logits, targets, slice, gradient_scale);
  }
  void argmax(Tensor ids, ConstTensor logits) override { inner_.argmax(ids, logits); }
  void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
             float gradient_scale) override {
    inner_.adamw(master, m, v, gradient, step, gradient_scale);
  }
  void sums_of_squares(Tensor sums, ConstTensor x) override { inner_.sums_of_squares(sums, x); }

 protected:
  bool rehearsing() const { return rehearsing_; }

 private:
  Ops& inner_;
  bool rehearsing_ = false;
};

class StreamDecorator : public Stream {
 public:
  explicit StreamDecorator(Stream& inner) : inner_(inner) {}
  Event record() override { return inner_.record(); }
  void wait(Event event) override { inner_.wait(event); }
  void submit(std::function<void()> work) override { inner_.submit(std::move(work)); }
  void throw_failure() override { inner_.throw_failure(); }
  void synchronize() override { inner_.synchronize(); }
  void synchronize(Event event) override { inner_.synchronize(event); }

 private:
  Stream& inner_;
};

// A compute stream, deaf to what completes on one other stream. Hears it when the host waits, before memory is given
// back: the bug is a value that is read too early, not one that lands in freed memory.
class DeafStream final : public StreamDecorator {
 public:
  using StreamDecorator::StreamDecorator;
  void wait(Event event) override {
    if (event.stream == unheard_)
      late_ = event;
    else
      StreamDecorator::wait(event);
  }
  void synchronize() override {
    StreamDecorator::synchronize();
    StreamDecorator::wait(late_);
    StreamDecorator::synchronize();
  }
  // What it has not heard of another one until now it does not miss any more. Null: it hears everybody.
  void be_deaf_to(const Stream* stream) {
    unheard_ = stream;
    late_ = {};
  }

 private:
  const Stream* unheard_ = nullptr;
  Event late_{};
};

// A device with another compute stream or other kernels; what is null is the real one's.
class DeviceDecorator : public Device {
 public:
  DeviceDecorator(Device& inner, std::unique_ptr<Stream> compute, std::unique_ptr<Ops> ops)
      : inner_(inner), compute_(std::move(compute)), ops_(std::move(ops)) {}
  Buffer allocate(std::size_t bytes, Tier tier, Purpose purpose) override {
    return inner_.allocate(bytes, tier, purpose);
  }
  MemoryUse memory(Tier tier) const override { return inner_.memory(tier); }
  void reset_peaks() override { inner_.reset_peaks(); }
  void count_only(bool on) override { inner_.count_only(on); }
  std::unique_ptr<Stream> make_stream(const std::string& name) override { return inner_.make_stream(name); }
  Stream& compute() override { return compute_ ? *compute_ : inner_.compute(); }
  Ops& ops() override { return ops_ ? *ops_ : inner_.ops(); }
  Timeline& timeline() override { return inner_.timeline(); }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    inner_.copy(to, from, bytes, real(stream));
  }
  void poison(std::byte* data, std::size_t bytes, Stream& stream) override { inner_.poison(data, bytes, real(stream)); }
  Support support(DType dtype) const override { return inner_.support(dtype); }
  bool host_reads() const override { return inner_.host_reads(); }
  int threads() const override { return inner_.threads(); }
  std::string description() const override { return inner_.description(); }
  std::string numerics() const override { return inner_.numerics(); }

 private:
  Stream& real(Stream& stream) { return &stream == compute_.get() ? inner_.compute() : stream; }
  Device& inner_;
  std::unique_ptr<Stream> compute_;
  std::unique_ptr<Ops> ops_;
};

class CommunicatorDecorator : public Communicator {
 public:
  explicit CommunicatorDecorator(Communicator& inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override {
    return inner_.all_gather(out, mine, share, after);
  }
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override {
    return inner_.all_to_all(out, receive, in, send, after);
  }
  void barrier() override { inner_.barrier(); }
  void synchronize(Event event) override { inner_.synchronize(event); }
  void abort() noexcept override { inner_.abort(); }

 private:
  Communicator& inner_;
};

}  // namespace shardlora
