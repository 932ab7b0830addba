// Plain loops instead of oneDNN, for builds under ThreadSanitizer: it cannot see a library's synchronisation.
#include <array>

#include "backend/cpu/block_product.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kColumns = 256;  // of y that are summed at a time, in f32

class PlainProduct final : public BlockProduct {
 public:
  explicit PlainProduct(const BlockShape& shape) : s_(shape) {}
  std::size_t scratch_bytes() const override { return 0; }
  void run(std::byte* y, const std::byte* a, const std::byte* b, std::byte*) const override {
    with_float_type(s_.in, [&]<typename In>(std::type_identity<In>) {
      with_float_type(s_.out, [&]<typename Out>(std::type_identity<Out>) {
        for (std::int64_t begin = 0; begin < s_.n; begin += kColumns)
          for (std::int64_t i = 0; i < s_.m; ++i)
            sum_row(reinterpret_cast<Out*>(y) + i * s_.y_row + begin, reinterpret_cast<const In*>(a) + i * s_.a_row,
                    reinterpret_cast<const In*>(b) + begin * s_.b_column, std::min(kColumns, s_.n - begin));
      });
    });
  }

 private:
  template <typename Out, typename In>
  void sum_row(Out* y, const In* a, const In* b, std::int64_t columns) const {
    std::array<float, kColumns> sum{};
    for (std::int64_t p = 0; p < s_.k; ++p) {
      const float left = to_float(a[p * s_.a_column]);
      for (std::int64_t j = 0; j < columns; ++j)
        sum[static_cast<std::size_t>(j)] += left * to_float(b[p * s_.b_row + j * s_.b_column]);
    }
    for (std::int64_t j = 0; j < columns; ++j) {
      const float before = s_.accumulate == Accumulate::kYes ? to_float(y[j]) : 0.0F;
      y[j] = from_float<Out>(s_.alpha * sum[static_cast<std::size_t>(j)] + before);
    }
  }

  const BlockShape s_;
};

}  // namespace

std::unique_ptr<BlockProduct> make_block_product(const BlockShape& shape) {
  return std::make_unique<PlainProduct>(shape);
}

std::string product_library() { return "plain loops"; }

std::size_t block_scratch_bytes(const BlockShape&) { return 0; }

}  // namespace shardlora::cpu
