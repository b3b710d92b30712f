// SPDX-License-Identifier: MIT
// RMSNorm, RoPE and SwiGLU on a CPU against their fp64 oracles, at every type and at awkward sizes.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "kernels/common/float16.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"
#include "normals.h"

using namespace mmada::kernels;

namespace {

constexpr int64_t kSizes[] = {0, 1, 33, 97, 1025};

template <class T>
constexpr FloatType kType = FloatType::kF32;
template <>
constexpr FloatType kType<BFloat16> = FloatType::kBF16;
template <>
constexpr FloatType kType<Float16> = FloatType::kF16;
/// The distance of neighbouring values at 1.
template <class T>
constexpr double kUnit = 1.0 / (1 << 23);
template <>
constexpr double kUnit<BFloat16> = 1.0 / 128;
template <>
constexpr double kUnit<Float16> = 1.0 / 1024;

/// Numbers of a type, with room behind them that must stay untouched, and the same in fp32 for an oracle.
template <class T>
struct Numbers {
  Numbers(int64_t count, uint32_t seed) : wide(emulation::normals(static_cast<size_t>(count), seed)) {
    for (float& x : wide) {
      from_float(x, values.emplace_back());
      x = to_float(values.back());
    }
    from_float(77.0f, values.emplace_back());
  }
  T* data() { return values.data(); }
  bool guarded() const { return to_float(values.back()) == 77.0f; }
  /// |found - exact| <= so many roundings to T of each value, and a few fp32 roundings of the largest.
  bool is(const std::vector<float>& exact, double roundings = 1) const {
    double largest = 0;
    for (const float x : exact) largest = std::max<double>(largest, std::abs(x));
    bool right = guarded();
    for (size_t i = 0; i < exact.size(); ++i) {
      const double allowed = roundings * kUnit<T> * std::abs(exact[i]) + 16 * kUnit<float> * (1 + largest);
      right = right && std::abs(static_cast<double>(to_float(values[i])) - exact[i]) <= allowed;
    }
    return right;
  }
  bool operator==(const Numbers& other) const {
    return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(T)) == 0;
  }

  std::vector<float> wide;
  std::vector<T> values;
};

/// One thread per chunk, the last chunk first.
void in_threads(int64_t chunks, const std::function<void(int64_t)>& body) {
  std::vector<std::thread> threads;
  for (int64_t chunk = chunks; chunk-- > 0;) threads.emplace_back(body, chunk);
  for (std::thread& thread : threads) thread.join();
}

template <class T>
struct Norm {
  Norm(int64_t rows, int64_t width, bool with_residual)
      : x(rows * width, 1),
        residual(rows * width, 2),
        weight(width, 3),
        dout(rows * width, 4),
        dsum(rows * width, 5),
        out(rows * width, 6),
        sum(rows * width, 7),
        dx(rows * width, 8),
        inverse(rows),
        dweight(width + 1, 77.0f) {
    params = {.x_ND = x.data(),
              .weight_D = weight.data(),
              .out_ND = out.data(),
              .inverse_rms_N = inverse.data(),
              .type = kType<T>,
              .rows = rows,
              .width = width,
              .eps = 1e-5f};
    if (with_residual) params.residual_ND = residual.data(), params.sum_ND = sum.data();
  }
  Status forward(Context context = {}) const { return rms_norm(params, context); }
  Status backward(Context context = {}) {
    std::vector<float> workspace(rms_norm_backward_cpu_workspace_size(params) / sizeof(float), NAN);
    context.workspace = workspace.data(), context.workspace_bytes = workspace.size() * sizeof(float);
    RmsNormParams p = params;
    if (p.residual_ND != nullptr) p.x_ND = p.sum_ND, p.residual_ND = nullptr;
    return rms_norm_backward(p, {dout.data(), dsum.data(), dx.data(), dweight.data()}, context);
  }
  /// The oracle's forward pass; then, of what this kernel normalised, its gradients.
  void check() {
    const auto count = x.wide.size();
    std::vector<float> exact(count), exact_sum(count), exact_inverse(inverse.size()), exact_dx(count),
        exact_dweight(params.width), unused(count);
    RmsNormParams wide = params;
    wide.x_ND = x.wide.data(), wide.weight_D = weight.wide.data(), wide.out_ND = exact.data();
    wide.inverse_rms_N = exact_inverse.data(), wide.type = FloatType::kF32;
    if (params.residual_ND != nullptr)
      wide.residual_ND = residual.wide.data(), wide.sum_ND = exact_sum.data();
    rms_norm_ref(wide);
    REQUIRE(forward() == Status::kOk);
    CHECK(out.is(exact, 3));  // of the sum, of the norm, of the product with the weight
    if (params.residual_ND != nullptr) CHECK(sum.is(exact_sum));
    for (size_t n = 0; n < inverse.size(); ++n)
      CHECK(inverse[n] == Approx(exact_inverse[n]).epsilon(2 * kUnit<T>));

    std::vector<float> normed = x.wide;
    if (params.residual_ND != nullptr)
      for (size_t i = 0; i < count; ++i) normed[i] = to_float(sum.values[i]);
    wide.residual_ND = nullptr, wide.x_ND = normed.data();
    rms_norm_backward_ref(wide, {dout.wide.data(), dsum.wide.data(), exact_dx.data(), exact_dweight.data()});
    REQUIRE(backward() == Status::kOk);
    CHECK(dx.is(exact_dx));
    CHECK(dweight.back() == 77.0f);
    for (int64_t d = 0; d < params.width; ++d)
      CHECK(dweight[d] == Approx(exact_dweight[d]).epsilon(1e-5).margin(1e-5 * std::sqrt(params.rows + 1.0)));
  }

  Numbers<T> x, residual, weight, dout, dsum, out, sum, dx;
  std::vector<float> inverse, dweight;
  RmsNormParams params;
};

template <class T>
struct Turn {
  Turn(int64_t tokens, int64_t heads, int64_t key_heads, int64_t head_dim)
      : q(tokens * heads * head_dim, 1),
        k(tokens * key_heads * head_dim, 2),
        q_out(tokens * heads * head_dim, 3),
        k_out(tokens * key_heads * head_dim, 4) {
    for (int64_t i = 0; i < kRows * head_dim / 2; ++i)
      cos.push_back(static_cast<float>(std::cos(0.37 * static_cast<double>(i)))),
          sin.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(i))));
    for (int64_t t = 0; t < tokens; ++t) positions.push_back(static_cast<int32_t>(t * 7 % kRows));
    params = {.q_THD = q.data(),
              .k_TGD = k.data(),
              .q_out = q_out.data(),
              .k_out = k_out.data(),
              .type = kType<T>,
              .q_stride = heads * head_dim,
              .k_stride = key_heads * head_dim,
              .q_out_stride = heads * head_dim,
              .k_out_stride = key_heads * head_dim,
              .positions_T = positions.data(),
              .cos = cos.data(),
              .sin = sin.data(),
              .tokens = tokens,
              .heads = heads,
              .key_heads = key_heads,
              .head_dim = head_dim};
  }
  void check() {
    std::vector<float> exact_q(q.wide.size()), exact_k(k.wide.size());
    RopeParams wide = params;
    wide.q_THD = q.wide.data(), wide.k_TGD = k.wide.data();
    wide.q_out = exact_q.data(), wide.k_out = exact_k.data();
    rope_ref(wide);
    REQUIRE(rope(params, {}) == Status::kOk);
    CHECK(q_out.is(exact_q));
    CHECK(k_out.is(exact_k));
  }

  static constexpr int64_t kRows = 40;
  Numbers<T> q, k, q_out, k_out;
  std::vector<float> cos, sin;
  std::vector<int32_t> positions;
  RopeParams params;
};

template <class T>
struct Gate {
  explicit Gate(int64_t count)
      : gate(count, 1), up(count, 2), dout(count, 3), out(count, 4), dgate(count, 5), dup(count, 6) {
    params = {gate.data(), up.data(), out.data(), kType<T>, count};
  }
  SwigluGradients gradients() { return {dout.data(), dgate.data(), dup.data()}; }

  Numbers<T> gate, up, dout, out, dgate, dup;
  SwigluParams params;
};

}  // namespace

TEST_CASE(
    "every fp16 number is read exactly and written back, and every fp32 number is rounded to the nearest") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Float16 x{static_cast<uint16_t>(bits)};
    const int exponent = bits >> 10 & 31;
    const double mantissa = bits & 1023;
    double exact = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) exact = mantissa == 0 ? INFINITY : NAN;
    if (bits >= 0x8000) exact = -exact;
    Float16 back;
    from_float(to_float(x), back);
    const bool right = std::isnan(exact) ? std::isnan(to_float(x)) && std::isnan(to_float(back))
                                         : to_float(x) == exact && back.bits == x.bits;
    if (!right) FAIL("fp16 " << bits);
    if (exponent == 31 || bits >= 0x7BFF) continue;
    // halfway to the next number: to the even one; a little beyond: to the next
    const auto next = to_float(Float16{static_cast<uint16_t>(bits + 1)});
    const float middle = (to_float(x) + next) / 2;
    Float16 even, beyond;
    from_float(middle, even), from_float(std::nextafter(middle, next), beyond);
    if (even.bits != bits + (bits & 1) || beyond.bits != bits + 1) FAIL("rounding beyond fp16 " << bits);
  }
  Float16 largest, infinite;
  from_float(65519.0f, largest), from_float(65520.0f, infinite);
  CHECK(to_float(largest) == 65504.0f);
  CHECK(to_float(infinite) == INFINITY);
}

TEMPLATE_TEST_CASE("SwiGLU and its gradients on a CPU are the oracle's, rounded once", "", float, BFloat16,
                   Float16) {
  for (const int64_t count : {0, 1, 33, 97, 1025, 40000}) {
    Gate<TestType> p(count);
    std::vector<float> exact(count), exact_gate(count), exact_up(count);
    const SwigluParams wide{p.gate.wide.data(), p.up.wide.data(), exact.data(), FloatType::kF32, count};
    swiglu_ref(wide);
    swiglu_backward_ref(wide, {p.dout.wide.data(), exact_gate.data(), exact_up.data()});
    REQUIRE(swiglu(p.params, {}) == Status::kOk);
    REQUIRE(swiglu_backward(p.params, p.gradients(), {}) == Status::kOk);
    CHECK(p.out.is(exact));
    CHECK(p.dgate.is(exact_gate));
    CHECK(p.dup.is(exact_up));
    p.params.out = p.gate.data();  // in place
    REQUIRE(swiglu(p.params, {}) == Status::kOk);
    CHECK(p.gate.is(exact));
  }
}

TEST_CASE("SwiGLU is 0 far below 0, the product far above, and NaN of NaN") {
  const float gate[] = {-200.0f, 200.0f, NAN, -INFINITY}, up[] = {3.0f, 3.0f, 3.0f, 3.0f};
  float out[4];
  REQUIRE(swiglu({gate, up, out, FloatType::kF32, 3}, {}) == Status::kOk);
  CHECK(out[0] == Approx(0).margin(1e-30));
  CHECK(out[1] == 600.0f);
  CHECK(std::isnan(out[2]));
}

TEMPLATE_TEST_CASE("RoPE on a CPU rotates q and k like the oracle, forth and back, and in place", "", float,
                   BFloat16, Float16) {
  for (const int64_t tokens : kSizes) Turn<TestType>(tokens, 2, 1, 10).check();
  for (const int64_t head_dim : {2, 64, 66, 128, 258}) {
    Turn<TestType> p(5, 3, 2, head_dim);
    p.check();
    p.params.inverse = true;
    p.check();
    p.params.q_out = p.q.data(), p.params.k_out = p.k.data();
    REQUIRE(rope(p.params, {}) == Status::kOk);
    CHECK((p.q == p.q_out && p.k == p.k_out));
  }
  Turn<TestType> rows(6, 2, 2, 64);  // without positions they begin anew with every row
  rows.params.positions_T = nullptr, rows.params.row_tokens = 2;
  rows.check();
}

TEMPLATE_TEST_CASE("RMSNorm on a CPU and its gradients are the oracle's, with and without a residual", "",
                   float, BFloat16, Float16) {
  for (const bool with_residual : {false, true}) {
    for (const int64_t width : {1, 33, 97, 1025}) Norm<TestType>(3, width, with_residual).check();
    for (const int64_t rows : kSizes) Norm<TestType>(rows, 70, with_residual).check();
  }
}

TEMPLATE_TEST_CASE("the number of threads changes no bit of RMSNorm, RoPE and SwiGLU", "", float, BFloat16,
                   Float16) {
  Context threads;
  threads.parallel_for = in_threads;
  Norm<TestType> norm(900, 97, true), other_norm(900, 97, true);
  REQUIRE((norm.forward() == Status::kOk && norm.backward() == Status::kOk));
  REQUIRE((other_norm.forward(threads) == Status::kOk && other_norm.backward(threads) == Status::kOk));
  CHECK((norm.out == other_norm.out && norm.sum == other_norm.sum && norm.dx == other_norm.dx));
  CHECK(norm.dweight == other_norm.dweight);
  Turn<TestType> turn(900, 4, 2, 64), other_turn(900, 4, 2, 64);
  REQUIRE((rope(turn.params, {}) == Status::kOk && rope(other_turn.params, threads) == Status::kOk));
  CHECK((turn.q_out == other_turn.q_out && turn.k_out == other_turn.k_out));
  Gate<TestType> gate(70000), other_gate(70000);
  REQUIRE((swiglu(gate.params, {}) == Status::kOk && swiglu(other_gate.params, threads) == Status::kOk));
  REQUIRE(swiglu_backward(gate.params, gate.gradients(), {}) == Status::kOk);
  REQUIRE(swiglu_backward(other_gate.params, other_gate.gradients(), threads) == Status::kOk);
  CHECK((gate.out == other_gate.out && gate.dgate == other_gate.dgate && gate.dup == other_gate.dup));
}

TEST_CASE("sizes that contradict each other are refused on a CPU") {
  SwigluParams elements;
  elements.count = -1;
  CHECK(swiglu(elements, {}) == Status::kInvalid);
  CHECK(swiglu_backward(elements, {}, {}) == Status::kInvalid);
  RopeParams odd;
  odd.head_dim = 3;
  CHECK(rope(odd, {}) == Status::kInvalid);
  Norm<float> norm(2, 8, true);
  norm.params.sum_ND = nullptr;
  CHECK(norm.forward() == Status::kInvalid);
  norm.params.width = 0;
  CHECK(norm.forward() == Status::kInvalid);
  Norm<float> whole(2, 8, false);
  CHECK(rms_norm_backward(whole.params, {}, {}) == Status::kWorkspaceTooSmall);
}
