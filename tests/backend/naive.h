// What the kernels compute, written in double as the formulas stand, without a thought for speed. Backwards too: they
// are held against central differences of the forwards in naive_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "backend/held.h"

namespace shardlora::naive {

using Index = std::int64_t;
inline double& at(Doubles& x, Index i) { return x[static_cast<std::size_t>(i)]; }
inline double at(const Doubles& x, Index i) { return x[static_cast<std::size_t>(i)]; }

// op(a) (m, k) times op(b) (k, n).
inline Doubles matmul(const Doubles& a, bool a_across, const Doubles& b, bool b_across, Index m, Index n, Index k) {
  Doubles y(static_cast<std::size_t>(m * n));
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index p = 0; p < k; ++p)
        sum += at(a, a_across ? p * m + i : i * k + p) * at(b, b_across ? j * k + p : p * n + j);
      at(y, i * n + j) = sum;
    }
  return y;
}

inline Doubles rms_norm(const Doubles& x, const Doubles& w, double eps, Index n, Index d) {
  Doubles y(x.size());
  for (Index i = 0; i < n; ++i) {
    double sum = 0;
    for (Index k = 0; k < d; ++k) sum += at(x, i * d + k) * at(x, i * d + k);
    for (Index k = 0; k < d; ++k)
      at(y, i * d + k) = at(x, i * d + k) / std::sqrt(sum / static_cast<double>(d) + eps) * at(w, k);
  }
  return y;
}

inline Doubles rope(const Doubles& x, const Doubles& positions, const Doubles& inv_freq, Index n, Index heads,
                    Index d) {
  Doubles y(x.size());
  for (Index i = 0; i < n * heads; ++i)
    for (Index k = 0; k < d / 2; ++k) {
      // The angle is rounded to f32 first: that is part of the definition.
      const double angle =
          static_cast<double>(static_cast<float>(at(positions, i / heads)) * static_cast<float>(at(inv_freq, k)));
      const double a = at(x, i * d + k), b = at(x, i * d + k + d / 2);
      at(y, i * d + k) = a * std::cos(angle) - b * std::sin(angle);
      at(y, i * d + k + d / 2) = b * std::cos(angle) + a * std::sin(angle);
    }
  return y;
}

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline Doubles swiglu(const Doubles& gate, const Doubles& up) {
  Doubles y(gate.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
  return y;
}

// Losses of every row.
inline Doubles cross_entropy(const Doubles& logits, const std::vector<std::int32_t>& targets, Index v) {
  Doubles losses;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto row = static_cast<Index>(i) * v;
    double most = -INFINITY, sum = 0;
    for (Index k = 0; k < v; ++k) most = std::max(most, at(logits, row + k));
    for (Index k = 0; k < v; ++k) sum += std::exp(at(logits, row + k) - most);
    losses.push_back(most + std::log(sum) - at(logits, row + targets[i]));
  }
  return losses;
}

struct AttentionShape {
  std::vector<std::int32_t> bounds;
  Index heads, groups, d;
  double scale;
  Index n() const { return bounds.back(); }
};

// p of one query of one head: over the rows of its sample up to itself. Returns log of the denominator.
inline double probabilities(Doubles& p, const Doubles& q, const Doubles& k, const AttentionShape& s, Index begin,
                            Index i, Index h) {
  const Index g = h / (s.heads / s.groups);
  double most = -INFINITY, sum = 0;
  p.assign(static_cast<std::size_t>(i - begin + 1), 0.0);
  for (Index j = begin; j <= i; ++j) {
    for (Index c = 0; c < s.d; ++c)
      at(p, j - begin) += at(q, (i * s.heads + h) * s.d + c) * at(k, (j * s.groups + g) * s.d + c) * s.scale;
    most = std::max(most, at(p, j - begin));
  }
  for (double& value : p) sum += std::exp(value - most);
  for (double& value : p) value = std::exp(value - most) / sum;
  return most + std::log(sum);
}

inline void for_each_query(const AttentionShape& s, const std::function<void(Index begin, Index i, Index h)>& body) {
  for (std::size_t sample = 0; sample + 1 < s.bounds.size(); ++sample)
    for (Index i = s.bounds[sample]; i < s.bounds[sample + 1]; ++i)
      for (Index h = 0; h < s.heads; ++h) body(s.bounds[sample], i, h);
}

struct Attention {
  Doubles o, lse;
};

inline Attention attention(const Doubles& q, const Doubles& k, const Doubles& v, const AttentionShape& s) {
  Attention out{Doubles(q.size()), Doubles(static_cast<std::size_t>(s.heads * s.n()))};
  Doubles p;
  for_each_query(s, [&](Index begin, Index i, Index h) {
    const Index g = h / (s.heads / s.groups);
    at(out.lse, h * s.n() + i) = probabilities(p, q, k, s, begin, i, h);
    for (Index j = begin; j <= i; ++j)
      for (Index c = 0; c < s.d; ++c)
        at(out.o, (i * s.heads + h) * s.d + c) += at(p, j - begin) * at(v, (j * s.groups + g) * s.d + c);
  });
  return out;
}

struct AttentionGradients {
  Doubles dq, dk, dv;
};

// o: the forward's output as the backward gets it, rounded or not.
inline AttentionGradients attention_backward(const Doubles& d_o, const Doubles& o, const Doubles& q, const Doubles& k,
                                             const Doubles& v, const AttentionShape& s) {
  AttentionGradients out{Doubles(q.size()), Doubles(k.size()), Doubles(v.size())};
  Doubles p, dp;
  for_each_query(s, [&](Index begin, Index i, Index h) {
    const Index g = h / (s.heads / s.groups), qi = (i * s.heads + h) * s.d;
    probabilities(p, q, k, s, begin, i, h);
    dp.assign(p.size(), 0.0);
    double delta = 0;
    for (Index c = 0; c < s.d; ++c) delta += at(d_o, qi + c) * at(o, qi + c);
    for (Index j = begin; j <= i; ++j)
      for (Index c = 0; c < s.d; ++c) at(dp, j - begin) += at(d_o, qi + c) * at(v, (j * s.groups + g) * s.d + c);
    for (Index j = begin; j <= i; ++j) {
      const double ds = at(p, j - begin) * (at(dp, j - begin) - delta) * s.scale;
      for (Index c = 0; c < s.d; ++c) {
        const Index kj = (j * s.groups + g) * s.d + c;
        at(out.dv, kj) += at(p, j - begin) * at(d_o, qi + c);
        at(out.dk, kj) += ds * at(q, qi + c);
        at(out.dq, qi + c) += ds * at(k, kj);
      }
    }
  });
  return out;
}

// d(loss)/dx by central differences; x is put back.
inline Doubles differences(Doubles& x, const std::function<double()>& loss, double step = 1e-4) {
  Doubles gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double before = x[i];
    x[i] = before + step;
    const double above = loss();
    x[i] = before - step;
    gradient[i] = (above - loss()) / (2 * step);
    x[i] = before;
  }
  return gradient;
}

inline double dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace shardlora::naive
