#include "backend/host_ops.h"

#include <omp.h>

#include "backend/cpu/kernels.h"
#include "backend/op_checks.h"

namespace shardlora {

// OpenMP asks the thread that computes how many it may wake, and which thread that is the stream decides.
template <typename Work>
void HostOps::submit(Work work) {
  stream_.submit([threads = threads_, work] {
    omp_set_num_threads(threads);
    work();
  });
}

void HostOps::cast(Tensor y, ConstTensor x) {
  checks::cast(y, x);
  submit([=] { cpu::cast(y, x); });
}

void HostOps::add(Tensor y, ConstTensor a, ConstTensor b) {
  checks::add(y, a, b);
  submit([=] { cpu::add(y, a, b); });
}

void HostOps::adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
                    float gradient_scale) {
  checks::adamw(master, m, v, gradient);
  submit([=] { cpu::adamw(master, m, v, gradient, step, gradient_scale); });
}

void HostOps::sums_of_squares(Tensor sums, ConstTensor x) {
  checks::sums_of_squares(sums, x);
  submit([=] { cpu::sums_of_squares(sums, x); });
}

}  // namespace shardlora
