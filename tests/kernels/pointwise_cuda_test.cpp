// SPDX-License-Identifier: MIT
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"
#include "operand.h"

using namespace mmada::kernels;
using namespace emulation;
using mmada::simt::Schedule;

namespace {

constexpr Way kWay = {Schedule::kReverse, true};

}  // namespace

TEMPLATE_TEST_CASE("swiglu and its gradients are the oracle's, rounded once", "[tiny]", float, __nv_bfloat16,
                   __half) {
  use(kWay);
  std::vector<int64_t> counts = {97, 1, 33, 1024};
  if (mmada::simt::thread_sanitizer()) counts.resize(1);
  for (const int64_t count : counts) {
    Operand<TestType> gate(count, 1), up(count, 2), dout(count, 3), out(count, 4), dgate(count, 5),
        dup(count, 6);
    const SwigluParams params{gate.data(), up.data(), out.data(), float_type<TestType>(), count};
    out.clear(), dgate.clear(), dup.clear();
    REQUIRE(finished(swiglu_cuda(params, {})) == Status::kOk);
    REQUIRE(finished(swiglu_backward_cuda(params, {dout.data(), dgate.data(), dup.data()}, {})) ==
            Status::kOk);
    std::vector<float> exact(count), exact_gate(count), exact_up(count);
    const SwigluParams wide{gate.wide.data(), up.wide.data(), exact.data(), FloatType::kF32, count};
    swiglu_ref(wide);
    swiglu_backward_ref(wide, {dout.wide.data(), exact_gate.data(), exact_up.data()});
    check_rounded<TestType>(out.values(), exact);
    check_rounded<TestType>(dgate.values(), exact_gate);
    check_rounded<TestType>(dup.values(), exact_up);
  }
}

TEST_CASE("swiglu works in place and where pointers are misaligned") {
  use(kWay);
  Operand<__nv_bfloat16> gate(65, 1), up(65, 2);
  std::vector<float> exact(64);
  swiglu_ref({gate.wide.data() + 1, up.wide.data() + 1, exact.data(), FloatType::kF32, 64});
  const SwigluParams params{gate.data() + 1, up.data() + 1, gate.data() + 1, FloatType::kBF16, 64};
  REQUIRE(finished(swiglu_cuda(params, {})) == Status::kOk);
  const std::vector<float> values = gate.values();
  check_rounded<__nv_bfloat16>({values.begin() + 1, values.end()}, exact);
  CHECK(values[0] == gate.wide[0]);
}

TEMPLATE_TEST_CASE("rope rotates q and k like the oracle, at any positions, and back", "[tiny]", float,
                   __nv_bfloat16, __half) {
  struct Sizes {
    int64_t tokens, heads, key_heads, head_dim;
  };
  use(kWay);
  std::vector<Sizes> all = {{3, 2, 1, 64}, {1, 1, 1, 2}, {5, 3, 3, 10}};
  if (mmada::simt::thread_sanitizer()) all.resize(1);
  for (const Sizes s : all) {
    const int64_t half = s.head_dim / 2, kRows = 40;
    const auto count = [&](int64_t heads) { return static_cast<size_t>(s.tokens * heads * s.head_dim); };
    Operand<TestType> q(count(s.heads), 1), k(count(s.key_heads), 2), q_out(q.wide.size(), 3),
        k_out(k.wide.size(), 4);
    Shared<float> cos(kRows * half), sin(kRows * half);
    std::vector<float> exact_q(q.wide.size()), exact_k(k.wide.size());
    for (size_t i = 0; i < cos.size(); ++i)
      cos[i] = static_cast<float>(std::cos(0.37 * static_cast<double>(i))),
      sin[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)));
    const Shared<int32_t> positions = {39, 0, 7, 7, 20};
    RopeParams params;
    params.positions_T = positions.data(), params.cos = cos.data(), params.sin = sin.data();
    params.q_stride = params.q_out_stride = s.heads * s.head_dim;
    params.k_stride = params.k_out_stride = s.key_heads * s.head_dim;
    params.tokens = s.tokens, params.heads = s.heads, params.key_heads = s.key_heads,
    params.head_dim = s.head_dim;
    RopeParams wide = params;
    wide.q_THD = q.wide.data(), wide.k_TGD = k.wide.data(), wide.q_out = exact_q.data(),
    wide.k_out = exact_k.data();
    rope_ref(wide);
    params.type = float_type<TestType>();
    params.q_THD = q.data(), params.k_TGD = k.data(), params.q_out = q_out.data(),
    params.k_out = k_out.data();
    q_out.clear(), k_out.clear();
    REQUIRE(finished(rope_cuda(params, {})) == Status::kOk);
    check_rounded<TestType>(q_out.values(), exact_q);
    check_rounded<TestType>(k_out.values(), exact_k);
    RopeParams rows = params;  // without positions they begin anew with every row
    rows.positions_T = nullptr, rows.row_tokens = 2;
    const Shared<int32_t> anew = {0, 1, 0, 1, 0};
    wide.positions_T = anew.data();
    rope_ref(wide);
    Operand<TestType> q_rows(q.wide.size(), 5), k_rows(k.wide.size(), 6);
    rows.q_out = q_rows.data(), rows.k_out = k_rows.data();
    REQUIRE(finished(rope_cuda(rows, {})) == Status::kOk);
    check_rounded<TestType>(q_rows.values(), exact_q);
    params.q_THD = params.q_out, params.k_TGD = params.k_out, params.inverse = true;  // in place
    REQUIRE(finished(rope_cuda(params, {})) == Status::kOk);
    CHECK(error(q_out.values(), q.wide) <= 3 * unit<TestType>() * 4);  // two roundings of values below 4
  }
}

TEMPLATE_TEST_CASE("RMSNorm with and without a residual is the oracle's at awkward widths", "[tiny]", float,
                   __nv_bfloat16, __half) {
  struct Sizes {
    int64_t rows, width;
  };
  std::vector<Sizes> all = {{2, 33}, {1, 1024}, {3, 97}, {2, 5000}, {1, 8200}};
  if (mmada::simt::thread_sanitizer()) all.resize(1);
  for (const Sizes s : all) {
    const auto count = static_cast<size_t>(s.rows * s.width);
    Operand<TestType> x(count, 1), residual(count, 2), weight(s.width, 3), out(count, 4), sum(count, 5);
    for (const bool with_residual : {false, true}) {
      RmsNormParams params{.rows = s.rows, .width = s.width, .eps = 1e-5f};
      Shared<float> inverse(s.rows);
      std::vector<float> exact(count), exact_sum(count), exact_inverse(s.rows);
      RmsNormParams wide = params;
      wide.x_ND = x.wide.data(), wide.weight_D = weight.wide.data(), wide.out_ND = exact.data();
      wide.inverse_rms_N = exact_inverse.data();
      params.type = float_type<TestType>();
      params.x_ND = x.data(), params.weight_D = weight.data(), params.out_ND = out.data();
      params.inverse_rms_N = inverse.data();
      if (with_residual) {
        wide.residual_ND = residual.wide.data(), wide.sum_ND = exact_sum.data();
        params.residual_ND = residual.data(), params.sum_ND = sum.data();
      }
      rms_norm_ref(wide);
      out.clear(), sum.clear();
      use(kWay);
      REQUIRE(finished(rms_norm_cuda(params, {})) == Status::kOk);
      const std::vector<float> first = out.values();
      check_rounded<TestType>(first, exact, 3);  // of the sum, of the norm, of the product with the weight
      if (with_residual) check_rounded<TestType>(sum.values(), exact_sum);
      CHECK(error(inverse, exact_inverse) < 2 * unit<TestType>());
      for (const Way way : all_ways()) {
        use(way);
        REQUIRE(finished(rms_norm_cuda(params, {})) == Status::kOk);
        CHECK(out.values() == first);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gradients of RMSNorm are the oracle's and the same bits under every schedule", "[tiny]",
                   float, __nv_bfloat16, __half) {
  struct Sizes {
    int64_t rows, width;
  };
  std::vector<Sizes> all = {{3, 33}, {0, 5}, {270, 97}, {2, 1024}};
  if (mmada::simt::thread_sanitizer()) all.resize(2);
  for (const Sizes s : all) {
    const auto count = static_cast<size_t>(s.rows * s.width);
    Operand<TestType> x(count, 1), weight(s.width, 2), dout(count, 3), dsum(count, 4), dx(count, 5);
    Shared<float> inverse(s.rows), dweight(s.width);
    std::vector<float> unused(count), exact(count), exact_weight(s.width);
    const RmsNormParams wide{.x_ND = x.wide.data(),
                             .weight_D = weight.wide.data(),
                             .out_ND = unused.data(),
                             .inverse_rms_N = inverse.data(),
                             .rows = s.rows,
                             .width = s.width,
                             .eps = 1e-5f};
    rms_norm_ref(wide);
    rms_norm_backward_ref(wide, {dout.wide.data(), dsum.wide.data(), exact.data(), exact_weight.data()});
    RmsNormParams params = wide;
    params.x_ND = x.data(), params.weight_D = weight.data(), params.type = float_type<TestType>();
    Shared<float> workspace(rms_norm_backward_workspace_size(params) / sizeof(float) + 1, NAN);
    Context context;
    context.workspace = workspace.data(), context.workspace_bytes = (workspace.size() - 1) * sizeof(float);
    std::vector<float> first;
    for (const Way way : all_ways()) {
      use(way);
      dx.clear();
      REQUIRE(finished(rms_norm_backward_cuda(params, {dout.data(), dsum.data(), dx.data(), dweight.data()},
                                              context)) == Status::kOk);
      check_rounded<TestType>(dx.values(), exact);
      check_rounded<float>(host(dweight), exact_weight, 64);  // fp32 sums over the rows
      if (first.empty()) first = host(dweight);
      CHECK(host(dweight) == first);
    }
    if (s.rows > 0) {
      context.workspace_bytes -= 1;
      CHECK(rms_norm_backward_cuda(params, {}, context) == Status::kWorkspaceTooSmall);
    }
  }
}

TEST_CASE("pointwise kernels refuse contradictory sizes and launch nothing for none", "[tiny]") {
  mmada::simt::reset_statistics();
  SwigluParams no_elements;
  CHECK(swiglu_cuda(no_elements, {}) == Status::kOk);
  no_elements.count = -1;
  CHECK(swiglu_cuda(no_elements, {}) == Status::kInvalid);
  RopeParams odd;
  odd.head_dim = 3;
  CHECK(rope_cuda(odd, {}) == Status::kInvalid);
  odd.head_dim = 64, odd.heads = int64_t{1} << 40, odd.tokens = 1;
  CHECK(rope_cuda(odd, {}) == Status::kUnsupported);
  RmsNormParams norm;
  CHECK(rms_norm_cuda(norm, {}) == Status::kInvalid);
  norm.width = 8, norm.residual_ND = &norm;
  CHECK(rms_norm_cuda(norm, {}) == Status::kInvalid);
  CHECK(mmada::simt::statistics().launches == 0);
}
