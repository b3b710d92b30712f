// SPDX-License-Identifier: MIT
// The pointwise kernels at every number of rows, at addresses that are not aligned, and far beyond 2^31
// elements.
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"
#include "operand.h"
#include "sparse.h"

using namespace mmada::kernels;
using namespace emulation;
using mmada::simt::Schedule;

namespace {

constexpr Way kWay = {Schedule::kReverse, true};

/// Row counts that end inside a warp, a block and a grid; more of them in the long matrix.
std::vector<int64_t> row_counts() {
  if (!full()) return {1, 33, 97, 1025};
  return {1, 2, 31, 32, 33, 63, 64, 65, 97, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4097};
}

std::vector<float> tail(const std::vector<float>& values, int64_t skip) {
  return {values.begin() + static_cast<ptrdiff_t>(skip), values.end()};
}

/// Operands of which the first `skip` elements are not the kernel's: its pointers are misaligned by them.
template <class T>
struct Norm {
  Norm(int64_t rows, int64_t width, int64_t skip = 0)
      : skip(skip),
        x(rows * width + skip, 1),
        residual(rows * width + skip, 2),
        weight(width + skip, 3),
        out(rows * width + skip, 4),
        sum(rows * width + skip, 5),
        params{.rows = rows, .width = width, .eps = 1e-5f} {}
  std::vector<float> kernel(Way way) {
    use(way);
    RmsNormParams p = params;
    p.type = float_type<T>();
    p.x_ND = x.data() + skip, p.residual_ND = residual.data() + skip, p.weight_D = weight.data() + skip;
    p.out_ND = out.data() + skip, p.sum_ND = sum.data() + skip;
    REQUIRE(finished(rms_norm_cuda(p, {})) == Status::kOk);
    return tail(out.values(), skip);
  }
  std::vector<float> reference() {
    std::vector<float> exact(params.rows * params.width), unused(exact.size());
    RmsNormParams p = params;
    p.x_ND = x.wide.data() + skip, p.residual_ND = residual.wide.data() + skip,
    p.weight_D = weight.wide.data() + skip;
    p.out_ND = exact.data(), p.sum_ND = unused.data();
    rms_norm_ref(p);
    return exact;
  }
  int64_t skip;
  Operand<T> x, residual, weight, out, sum;
  RmsNormParams params;
};

template <class T>
struct Rope {
  static constexpr int64_t kHeads = 2, kWidth = 64;
  explicit Rope(int64_t tokens, int64_t skip = 0)
      : skip(skip),
        q(tokens * kHeads * kWidth + skip, 1),
        k(tokens * kWidth + skip, 2),
        q_out(q.wide.size(), 3),
        k_out(k.wide.size(), 4),
        cos(tokens * kWidth / 2),
        sin(tokens * kWidth / 2),
        params{.cos = cos.data(),
               .sin = sin.data(),
               .tokens = tokens,
               .heads = kHeads,
               .key_heads = 1,
               .head_dim = kWidth} {
    for (size_t i = 0; i < cos.size(); ++i) {
      const double angle = 0.37 * static_cast<double>(i);
      cos[i] = static_cast<float>(std::cos(angle)), sin[i] = static_cast<float>(std::sin(angle));
    }
    params.q_stride = params.q_out_stride = kHeads * kWidth;
    params.k_stride = params.k_out_stride = kWidth;
  }
  /// q and k after one another.
  std::vector<float> kernel(Way way) {
    use(way);
    RopeParams p = params;
    p.type = float_type<T>();
    p.q_THD = q.data() + skip, p.k_TGD = k.data() + skip, p.q_out = q_out.data() + skip,
    p.k_out = k_out.data() + skip;
    REQUIRE(finished(rope_cuda(p, {})) == Status::kOk);
    std::vector<float> both = tail(q_out.values(), skip);
    for (const float x : tail(k_out.values(), skip)) both.push_back(x);
    return both;
  }
  std::vector<float> reference() {
    std::vector<float> both(params.tokens * (kHeads + 1) * kWidth);
    RopeParams p = params;
    p.q_THD = q.wide.data() + skip, p.k_TGD = k.wide.data() + skip;
    p.q_out = both.data(), p.k_out = both.data() + params.tokens * kHeads * kWidth;
    rope_ref(p);
    return both;
  }
  int64_t skip;
  Operand<T> q, k, q_out, k_out;
  Shared<float> cos, sin;
  RopeParams params;
};

template <class T>
struct Swiglu {
  explicit Swiglu(int64_t count) : gate(count, 1), up(count, 2), out(count, 3) {}
  std::vector<float> kernel(Way way) {
    use(way);
    const SwigluParams p{gate.data(), up.data(), out.data(), float_type<T>(), std::ssize(gate.wide)};
    REQUIRE(finished(swiglu_cuda(p, {})) == Status::kOk);
    return out.values();
  }
  std::vector<float> reference() {
    std::vector<float> exact(gate.wide.size());
    swiglu_ref({gate.wide.data(), up.wide.data(), exact.data(), FloatType::kF32, std::ssize(gate.wide)});
    return exact;
  }
  Operand<T> gate, up, out;
};

}  // namespace

TEMPLATE_TEST_CASE("pointwise kernels give the oracle's values for any number of rows", "", float,
                   __nv_bfloat16, __half) {
  for (const int64_t rows : row_counts()) {
    Norm<TestType> norm(rows, 40);
    check_rounded<TestType>(norm.kernel(kWay), norm.reference(), 3);
    Rope<TestType> rope(rows);
    check_rounded<TestType>(rope.kernel(kWay), rope.reference());
    Swiglu<TestType> swiglu(rows * 24);
    check_rounded<TestType>(swiglu.kernel(kWay), swiglu.reference());
  }
}

TEST_CASE("rope and swiglu give the same bits under every schedule", "[tiny]") {
  Rope<__nv_bfloat16> rope(5);
  Swiglu<__half> swiglu(2100);
  const std::vector<float> rotated = rope.kernel({Schedule::kFair, true}),
                           gated = swiglu.kernel({Schedule::kFair, true});
  for (const Way way : all_ways()) {
    CHECK(rope.kernel(way) == rotated);
    CHECK(swiglu.kernel(way) == gated);
  }
}

TEST_CASE("norm and rope take operands that are not aligned to 16 bytes") {
  Norm<__nv_bfloat16> norm(3, 64, 1);
  check_rounded<__nv_bfloat16>(norm.kernel(kWay), norm.reference(), 3);
  Rope<__half> rope(3, 1);
  check_rounded<__half>(rope.kernel(kWay), rope.reference());
}

TEST_CASE("no rows are no launch") {
  mmada::simt::reset_statistics();
  RmsNormParams norm;
  norm.width = 8;
  CHECK(rms_norm_cuda(norm, {}) == Status::kOk);
  RopeParams rope;
  rope.head_dim = 64, rope.heads = 2, rope.key_heads = 1;
  CHECK(rope_cuda(rope, {}) == Status::kOk);
  CHECK(swiglu_backward_cuda({}, {}, {}) == Status::kOk);
  CHECK(mmada::simt::statistics().launches == 0);
}

TEST_CASE("RMSNorm reads and writes rows beyond 2^31 elements") {
  if (on_device()) return;
  constexpr int64_t kWidth = 8192, kRows = kBeyond / kWidth + 2, kLast = (kRows - 1) * kWidth;
  Sparse<__half> x(kRows * kWidth), dout(kRows * kWidth), out(kRows * kWidth), dx(kRows * kWidth);
  Operand<__half> row(kWidth, 1), gradient(kWidth, 2), weight(kWidth, 3);
  std::copy_n(row.data(), kWidth, x.data() + kLast);
  std::copy_n(gradient.data(), kWidth, dout.data() + kLast);
  std::vector<float> inverse(kRows), exact(kWidth), exact_dx(kWidth), exact_dweight(kWidth), dweight(kWidth);
  RmsNormParams wide{.x_ND = row.wide.data(), .weight_D = weight.wide.data(), .out_ND = exact.data()};
  wide.inverse_rms_N = inverse.data(), wide.rows = 1, wide.width = kWidth, wide.eps = 1e-5f;
  rms_norm_ref(wide);
  rms_norm_backward_ref(wide, {gradient.wide.data(), nullptr, exact_dx.data(), exact_dweight.data()});
  RmsNormParams params = wide;
  params.x_ND = x.data(), params.weight_D = weight.data(), params.out_ND = out.data();
  params.type = FloatType::kF16, params.rows = kRows;
  const LastBlockOnly last;
  REQUIRE(rms_norm_cuda(params, {}) == Status::kOk);
  const auto tail = [](Sparse<__half>& from) {
    std::vector<float> values(kWidth);
    for (int64_t i = 0; i < kWidth; ++i) values[i] = widen(from.data()[kLast + i]);
    return values;
  };
  check_rounded<__half>(tail(out), exact, 3);
  Sparse<float> workspace(static_cast<int64_t>(rms_norm_backward_workspace_size(params) / sizeof(float)));
  Context context;
  context.workspace = workspace.data(), context.workspace_bytes = rms_norm_backward_workspace_size(params);
  REQUIRE(rms_norm_backward_cuda(params, {dout.data(), nullptr, dx.data(), dweight.data()}, context) ==
          Status::kOk);
  check_rounded<__half>(tail(dx), exact_dx);
}

TEST_CASE("swiglu reaches elements beyond 2^31") {
  if (on_device()) return;
  constexpr int64_t kGrid = 4096 * 256 * 8;  // elements that all blocks take at once: the last ends the array
  constexpr int64_t kCount = kBeyond + kGrid, kTail = 8, kLast = kCount - kTail;
  Sparse<__half> gate(kCount), up(kCount), out(kCount), dgate(kCount), dup(kCount);
  Operand<__half> a(kTail, 1), b(kTail, 2);
  std::copy_n(a.data(), kTail, gate.data() + kLast);
  std::copy_n(b.data(), kTail, up.data() + kLast);
  std::vector<float> exact(kTail), exact_gate(kTail), exact_up(kTail);
  const SwigluParams wide{a.wide.data(), b.wide.data(), exact.data(), FloatType::kF32, kTail};
  swiglu_ref(wide);
  swiglu_backward_ref(wide, {b.wide.data(), exact_gate.data(), exact_up.data()});
  const SwigluParams params{gate.data(), up.data(), out.data(), FloatType::kF16, kCount};
  const LastBlockOnly last;
  REQUIRE(swiglu_cuda(params, {}) == Status::kOk);
  REQUIRE(swiglu_backward_cuda(params, {up.data(), dgate.data(), dup.data()}, {}) == Status::kOk);
  const auto tail = [](Sparse<__half>& from) {
    std::vector<float> values(kTail);
    for (int64_t i = 0; i < kTail; ++i) values[i] = widen(from.data()[kLast + i]);
    return values;
  };
  check_rounded<__half>(tail(out), exact);
  check_rounded<__half>(tail(dgate), exact_gate);
  check_rounded<__half>(tail(dup), exact_up);
}

TEST_CASE("rope follows strides beyond 2^31 elements") {
  if (on_device()) return;
  use(kWay);
  constexpr int64_t kStride = kBeyond + 64, kWidth = 64;
  Sparse<__half> q(2 * kStride), k(2 * kStride), q_out(2 * kStride), k_out(2 * kStride);
  Operand<__half> token(kWidth, 1);
  std::copy_n(token.data(), kWidth, q.data() + kStride);
  std::copy_n(token.data(), kWidth, k.data() + kStride);
  const std::vector<float> cos(2 * kWidth / 2, 0.6f), sin(2 * kWidth / 2, 0.8f);
  std::vector<float> exact(kWidth), unused(kWidth);
  RopeParams params{
      .cos = cos.data(), .sin = sin.data(), .tokens = 1, .heads = 1, .key_heads = 1, .head_dim = kWidth};
  params.q_THD = params.k_TGD = token.wide.data(), params.q_out = exact.data(), params.k_out = unused.data();
  rope_ref(params);
  params.q_THD = q.data(), params.k_TGD = k.data(), params.q_out = q_out.data(), params.k_out = k_out.data();
  params.q_stride = params.k_stride = params.q_out_stride = params.k_out_stride = kStride;
  params.tokens = 2, params.type = FloatType::kF16;
  REQUIRE(rope_cuda(params, {}) == Status::kOk);
  for (Sparse<__half>* out : {&q_out, &k_out}) {
    std::vector<float> values(kWidth);
    for (int64_t i = 0; i < kWidth; ++i) values[i] = widen(out->data()[kStride + i]);
    check_rounded<__half>(values, exact);
  }
}
