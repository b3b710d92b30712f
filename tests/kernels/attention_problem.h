// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/attention/implementations.h"
#include "kernels/attention/plan.h"
#include "operand.h"

/// Operands of one attention call in a 16-bit type and in fp32, and what the kernels and the oracles make of
/// them.
namespace attention_test {

using namespace mmada::kernels;
using namespace emulation;

using Launch = Status(const AttentionParams&, const Context&);

struct Shape {
  int64_t batch = 1, queries = 0, keys = 0, heads = 1, key_heads = 1, head_dim = 64;
};

template <class T>
struct Problem {
  explicit Problem(Shape s)
      : shape(s),
        q(count(s.batch * s.queries * s.heads), 1),
        k(count(s.batch * s.keys * s.key_heads), 2),
        v(count(s.batch * s.keys * s.key_heads), 3),
        out(q.wide.size(), 4),
        dout(q.wide.size(), 5),
        dq(q.wide.size(), 6),
        dk(k.wide.size(), 7),
        dv(k.wide.size(), 8),
        logsumexp(static_cast<size_t>(s.batch * s.queries * s.heads)) {
    const auto strides = [&](int64_t tokens, int64_t heads) {
      return AttentionStrides{tokens * heads * s.head_dim, heads * s.head_dim, s.head_dim};
    };
    params = {.type = float_type<T>(),
              .q_strides = strides(s.queries, s.heads),
              .k_strides = strides(s.keys, s.key_heads),
              .v_strides = strides(s.keys, s.key_heads),
              .out_strides = strides(s.queries, s.heads),
              .batch = s.batch,
              .queries = s.queries,
              .keys = s.keys,
              .heads = s.heads,
              .key_heads = s.key_heads,
              .head_dim = s.head_dim,
              .total_queries = s.batch * s.queries,
              .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.head_dim)))};
  }
  size_t count(int64_t heads) const { return static_cast<size_t>(heads * shape.head_dim); }

  AttentionParams narrow_params() {
    AttentionParams p = params;
    p.q = q.data(), p.k = k.data(), p.v = v.data(), p.out = out.data(), p.logsumexp = logsumexp.data();
    return p;
  }
  /// The kernel's output; logsumexp lies beside it.
  std::vector<float> forward(emulation::Way way, Launch* run = attention_cuda) {
    emulation::use(way);
    out.clear();
    std::fill(logsumexp.begin(), logsumexp.end(), std::nanf(""));
    const AttentionParams p = narrow_params();
    Shared<float> workspace(attention_workspace_size(p) / sizeof(float) + 1, std::nanf(""));
    REQUIRE(finished(run(p, context(workspace))) == Status::kOk);
    return out.values();
  }
  /// dq, dk and dv after a forward pass.
  std::array<std::vector<float>, 3> backward(emulation::Way way) {
    forward(way);
    dq.clear(), dk.clear(), dv.clear();
    const AttentionParams p = narrow_params();
    Shared<float> workspace(attention_backward_workspace_size(p) / sizeof(float) + 1, std::nanf(""));
    const AttentionGradients gradients = {dout.data(), dq.data(), dk.data(), dv.data()};
    REQUIRE(finished(attention_backward_cuda(p, gradients, context(workspace))) == Status::kOk);
    return {dq.values(), dk.values(), dv.values()};
  }
  std::vector<float> forward_ref(double (*round)(double), std::vector<float>* lse = nullptr) const {
    std::vector<float> result(q.wide.size()), statistics(logsumexp.size());
    attention_ref(wide_params(result, statistics), round);
    if (lse != nullptr) *lse = statistics;
    return result;
  }
  std::array<std::vector<float>, 3> backward_ref(double (*round)(double)) const {
    std::vector<float> result(q.wide.size()), statistics(logsumexp.size());
    const AttentionParams p = wide_params(result, statistics);
    attention_ref(p, round);
    std::array<std::vector<float>, 3> g = {std::vector<float>(q.wide.size()),
                                           std::vector<float>(k.wide.size()),
                                           std::vector<float>(v.wide.size())};
    attention_backward_ref(p, {dout.wide.data(), g[0].data(), g[1].data(), g[2].data()}, round);
    return g;
  }

  void check_forward_by(const attention::Implementation& entry) {
    check_forward({mmada::simt::Schedule::kGreedy, true}, entry.launch);
  }
  void check_forward(emulation::Way way = {mmada::simt::Schedule::kGreedy, true},
                     Launch* run = attention_cuda) {
    const std::vector<float> result = forward(way, run);
    std::vector<float> lse;
    const std::vector<float> exact = forward_ref(exactly, &lse);
    check_close<T>(result, exact, forward_ref(round_to<T>));
    CHECK(error(logsumexp, lse) < 1e-5);  // fp32 sums of exact products
  }
  void check_backward(emulation::Way way = {mmada::simt::Schedule::kGreedy, true}) {
    const auto result = backward(way), exact = backward_ref(exactly), eager = backward_ref(round_to<T>);
    for (int i = 0; i < 3; ++i) check_close<T>(result[i], exact[i], eager[i]);
  }

  Shape shape;
  Operand<T> q, k, v, out, dout, dq, dk, dv;
  Shared<float> logsumexp;
  AttentionParams params;

 private:
  static Context context(Shared<float>& workspace) {
    Context result;
    result.workspace = workspace.data();
    result.workspace_bytes = (workspace.size() - 1) * sizeof(float);
    return result;
  }
  AttentionParams wide_params(std::vector<float>& result, std::vector<float>& statistics) const {
    AttentionParams p = params;
    p.type = FloatType::kF32;
    p.q = q.wide.data(), p.k = k.wide.data(), p.v = v.wide.data();
    p.out = result.data(), p.logsumexp = statistics.data();
    return p;
  }
};

}  // namespace attention_test
