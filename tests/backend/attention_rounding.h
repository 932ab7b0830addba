// What attention on tensor cores may lose: p and ds are rounded to the dtype before their products. Bounds of the error
// of every value, in units of the dtype's roundoff.
#pragma once

#include "backend/naive.h"

namespace shardlora::naive {

struct AttentionRounding {
  Doubles o, dq, dk, dv;  // sums of |p v|, |ds k|, |ds q|, |p do|
};

inline AttentionRounding attention_rounding(const Doubles& d_o, const Doubles& o, const Doubles& q, const Doubles& k,
                                            const Doubles& v, const AttentionShape& s) {
  AttentionRounding sums{Doubles(q.size()), Doubles(q.size()), Doubles(k.size()), Doubles(v.size())};
  Doubles p;
  for_each_query(s, [&](Index begin, Index i, Index h) {
    const Index g = h / (s.heads / s.groups), qi = (i * s.heads + h) * s.d;
    probabilities(p, q, k, s, begin, i, h);
    double delta = 0;
    for (Index c = 0; c < s.d; ++c) delta += at(d_o, qi + c) * at(o, qi + c);
    for (Index j = begin; j <= i; ++j) {
      double dp = 0;
      const Index kj = (j * s.groups + g) * s.d;
      for (Index c = 0; c < s.d; ++c) dp += at(d_o, qi + c) * at(v, kj + c);
      const double of_j = at(p, j - begin), ds = std::abs(of_j * (dp - delta) * s.scale);
      for (Index c = 0; c < s.d; ++c) {
        at(sums.o, qi + c) += of_j * std::abs(at(v, kj + c));
        at(sums.dv, kj + c) += of_j * std::abs(at(d_o, qi + c));
        at(sums.dk, kj + c) += ds * std::abs(at(q, qi + c));
        at(sums.dq, qi + c) += ds * std::abs(at(k, kj + c));
      }
    }
  });
  return sums;
}

}  // namespace shardlora::naive
