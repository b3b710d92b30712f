// SPDX-License-Identifier: MIT
#include "attention_problem.h"
#include "kernels/attention/implementations.h"
#include "kernels/attention/visibility.h"

using namespace attention_test;
using mmada::simt::Schedule;

namespace {

constexpr int32_t kNone = 0;  // an empty span is {kNone, kNone}

/// Sets every key of [begin, end) of row b to NaN: a kernel that multiplies a hidden tile shows it.
template <class T>
void poison(Problem<T>& problem, int64_t b, int64_t begin, int64_t end) {
  const int64_t width = problem.shape.key_heads * problem.shape.head_dim;
  for (int64_t i = (b * problem.shape.keys + begin) * width; i < (b * problem.shape.keys + end) * width; ++i)
    problem.k.data()[i] = problem.v.data()[i] = narrow<T>(std::nan(""));
}

}  // namespace

TEST_CASE("attention is the oracle's and the same bits under every schedule and kind of copy", "[tiny]") {
  Problem<__nv_bfloat16> problem({.batch = 1, .queries = 33, .keys = 97, .head_dim = 64});
  problem.check_forward();
  const std::vector<float> first = problem.forward({Schedule::kFair, true});
  for (const emulation::Way way : emulation::all_ways()) CHECK(problem.forward(way) == first);
}

TEMPLATE_TEST_CASE("attention is the oracle's for awkward lengths, both widths and both types", "",
                   __nv_bfloat16, __half) {
  for (const int64_t head_dim : {64, 128})
    for (const int64_t length : {1, 33, 64, 97, 130})
      for (const emulation::Way way :
           {emulation::Way{Schedule::kReverse, true}, {Schedule::kShuffled, false}})
        Problem<TestType>(
            {.batch = 2, .queries = length, .keys = length, .heads = 2, .key_heads = 2, .head_dim = head_dim})
            .check_forward(way);
}

TEST_CASE("attention over 1025 tokens is the oracle's") {
  Problem<__nv_bfloat16>({.queries = 1025, .keys = 1025, .head_dim = 128}).check_forward();
}

TEST_CASE("attention and its gradients at many more lengths are the oracle's under every schedule",
          "[full]") {
  if (!full()) return;
  for (const int64_t head_dim : {64, 128})
    for (const int64_t length : {31, 32, 33, 63, 65, 97, 127, 128, 129, 257})
      for (const emulation::Way way : emulation::all_ways()) {
        Problem<__nv_bfloat16> problem(
            {.queries = length, .keys = length + 1, .heads = 2, .key_heads = 1, .head_dim = head_dim});
        problem.check_forward(way);
        problem.check_backward(way);
      }
}

TEST_CASE("query heads share the keys of their group") {
  Problem<__half> problem(
      {.batch = 2, .queries = 40, .keys = 70, .heads = 6, .key_heads = 2, .head_dim = 64});
  problem.check_forward();
  problem.check_backward();
}

TEST_CASE("padding on either side is hidden, and tiles of nothing else are never multiplied") {
  Problem<__nv_bfloat16> problem({.batch = 3, .queries = 256, .keys = 256, .head_dim = 64});
  const Shared<int32_t> spans = {130, 256, kNone, kNone, 0, 70, kNone, kNone, 100, 101, kNone, kNone};
  problem.params.key_spans = spans.data();
  problem.check_forward();
  poison(problem, 0, 0, 128);
  poison(problem, 1, 128, 256);
  mmada::simt::reset_statistics();
  const std::vector<float> poisoned = problem.forward({Schedule::kGreedy, true});
  CHECK(error(poisoned, problem.forward_ref(exactly)) < 0.05);
  if (on_device()) return;  // it does not count
  // 2 + 2 + 1 tiles of keys for each of 4 tiles of queries; 4 warps, 2 products of (64 / 16) (64 / 8) tiles
  CHECK(mmada::simt::statistics().mma == 5 * 4 * 4 * 2 * 4 * 8);
  CHECK(mmada::simt::statistics().ldmatrix_conflicts == 0);
}

TEST_CASE("a query that sees no key gets zeros, -inf and zero gradients", "[tiny]") {
  Problem<__nv_bfloat16> problem({.batch = 2, .queries = 17, .keys = 20, .head_dim = 64});
  const Shared<int32_t> spans = {5, 5, kNone, kNone, 3, 20, kNone, kNone};
  problem.params.key_spans = spans.data();
  problem.check_forward();
  problem.check_backward();
  CHECK(problem.out.values()[0] == 0.0f);
  CHECK(problem.logsumexp[0] == -INFINITY);
  CHECK(problem.dk.values()[0] == 0.0f);
}

TEST_CASE("a row without keys gets zeros") {
  Problem<__half> problem({.batch = 1, .queries = 3, .keys = 0, .head_dim = 64});
  CHECK(problem.forward({Schedule::kGreedy, true}) == std::vector<float>(3 * 64, 0.0f));
  CHECK(host(problem.logsumexp) == std::vector<float>(3, -INFINITY));
}

TEST_CASE("groups of queries see two spans of keys each") {
  Problem<__nv_bfloat16> problem({.batch = 2, .queries = 100, .keys = 300, .head_dim = 64});
  problem.params.query_groups = 4;
  problem.params.queries_per_group = 30;
  Shared<int32_t> spans;
  for (int32_t g = 0; g < 8; ++g)
    for (const int32_t x : {g, 20 + 10 * g, 180 + g, 190 + 13 * g}) spans.push_back(x);
  problem.params.key_spans = spans.data();
  problem.check_forward();
  problem.check_backward();
}

TEST_CASE("the bias adds one where query and key both lie in the row's span, padding stays visible") {
  Problem<__half> problem({.batch = 2, .queries = 70, .keys = 70, .head_dim = 64});
  const Shared<int32_t> spans = {10, 70, 0, 33};
  const std::vector<float> without = problem.forward_ref(exactly);
  problem.params.bias_spans_B2 = spans.data();
  CHECK(error(problem.forward_ref(exactly), without) > 0.01);
  problem.check_forward();
  problem.check_backward();
}

TEST_CASE("the bias follows the queries' positions where a block of them is decoded") {
  Problem<__half> problem({.batch = 2, .queries = 8, .keys = 70, .head_dim = 64});
  const Shared<int32_t> spans = {10, 70, 0, 33};
  Shared<int32_t> positions;
  for (int32_t i = 0; i < 16; ++i) positions.push_back(i < 8 ? 6 + i : 30 + i - 8);
  problem.params.bias_spans_B2 = spans.data();
  problem.params.query_positions_BQ = positions.data();
  problem.check_forward();
}

TEST_CASE("few queries against many keys are split over blocks and combined", "[tiny]") {
  Problem<__nv_bfloat16> problem({.batch = 1, .queries = 5, .keys = 520, .heads = 1, .head_dim = 64});
  REQUIRE(attention::splits_of(problem.params) == 2);
  problem.check_forward();
  const std::vector<float> first = problem.forward({Schedule::kFair, true});
  for (const emulation::Way way : emulation::all_ways()) CHECK(problem.forward(way) == first);
}

TEST_CASE("split keys, hidden parts and all, are the oracle's") {
  Problem<__half> problem(
      {.batch = 2, .queries = 33, .keys = 1025, .heads = 2, .key_heads = 1, .head_dim = 128});
  REQUIRE(attention::splits_of(problem.params) == 4);
  problem.check_forward();
  const Shared<int32_t> spans = {700, 900, kNone, kNone, 0, 0, kNone, kNone};
  problem.params.key_spans = spans.data();
  problem.check_forward();
  CHECK(problem.logsumexp.back() == -INFINITY);
}

TEST_CASE("packed rows give each row's own bits, forward and backward") {
  const std::vector<int32_t> lengths = {1, 97, 0, 64, 33};
  Shared<int32_t> offsets = {0};
  for (const int32_t n : lengths) offsets.push_back(offsets.back() + n);
  Problem<__nv_bfloat16> packed(
      {.batch = 1, .queries = offsets.back(), .keys = offsets.back(), .heads = 2, .key_heads = 2});
  packed.params.batch = std::ssize(lengths);
  packed.params.queries = packed.params.keys = 97;
  packed.params.query_offsets_B1 = packed.params.key_offsets_B1 = offsets.data();
  packed.check_forward();
  packed.check_backward();
  const auto together = packed.backward({Schedule::kShuffled, true});
  const std::vector<float> out = packed.out.values();
  for (size_t row = 0; row < lengths.size(); ++row) {
    if (lengths[row] == 0) continue;
    Problem<__nv_bfloat16> alone({.queries = lengths[row], .keys = lengths[row], .heads = 2, .key_heads = 2});
    const size_t begin = offsets[row] * 128, size = lengths[row] * 128;
    const auto cut = [&](auto& to, auto& from) { std::copy_n(from.data() + begin, size, to.data()); };
    cut(alone.q, packed.q), cut(alone.k, packed.k), cut(alone.v, packed.v), cut(alone.dout, packed.dout);
    const auto own = alone.backward({Schedule::kGreedy, false});
    const auto same = [&](const std::vector<float>& a, const std::vector<float>& b) {
      return std::equal(a.begin(), a.end(), b.begin() + static_cast<ptrdiff_t>(begin));
    };
    CHECK(same(alone.out.values(), out));
    for (int i = 0; i < 3; ++i) CHECK(same(own[i], together[i]));
  }
}

TEST_CASE("gradients are the fp64 oracle's and the same bits under every schedule", "[tiny]") {
  Problem<__nv_bfloat16> problem({.batch = 1, .queries = 65, .keys = 33, .head_dim = 64});
  problem.check_backward();
  const auto first = problem.backward({Schedule::kFair, true});
  for (const emulation::Way way : emulation::all_ways()) CHECK(problem.backward(way) == first);
}

TEMPLATE_TEST_CASE("gradients are the oracle's for awkward lengths, both widths and both types", "",
                   __nv_bfloat16, __half) {
  for (const int64_t head_dim : {64, 128})
    for (const int64_t length : {1, 33, 64, 130})
      for (const emulation::Way way :
           {emulation::Way{Schedule::kReverse, true}, {Schedule::kShuffled, false}})
        Problem<TestType>({.batch = 2,
                           .queries = length,
                           .keys = length + 7,
                           .heads = 2,
                           .key_heads = 2,
                           .head_dim = head_dim})
            .check_backward(way);
}

TEST_CASE("gradients with padding skip the tiles that nobody sees") {
  Problem<__nv_bfloat16> problem({.batch = 2, .queries = 192, .keys = 192, .head_dim = 64});
  const Shared<int32_t> spans = {100, 192, kNone, kNone, 0, 64, kNone, kNone};
  problem.params.key_spans = spans.data();
  problem.check_backward();
  poison(problem, 0, 0, 64);
  poison(problem, 1, 64, 192);
  const auto exact = problem.backward_ref(exactly), poisoned = problem.backward({Schedule::kReverse, true});
  for (int i = 0; i < 3; ++i) CHECK(error(poisoned[i], exact[i]) < 0.05);
}

TEST_CASE("offsets beyond 2^31 elements are computed in 64 bits") {
  AttentionParams p;
  p.queries = p.keys = 4000000;
  const AttentionStrides strides = {int64_t{4000000} * 4096, 4096, 128};
  const auto row = attention::row_of(p, 2);
  CHECK(attention::place(p, strides, row, 0, 3999999, 31) ==
        int64_t{2} * 4000000 * 4096 + int64_t{3999999} * 4096 + 31 * 128);
}

TEST_CASE("what the kernels cannot do is refused before anything is launched") {
  Problem<__nv_bfloat16> problem({.queries = 8, .keys = 8});
  const AttentionParams good = problem.narrow_params();
  mmada::simt::reset_statistics();
  const auto refused = [&](auto change) {
    AttentionParams p = good;
    change(p);
    return attention_cuda(p, {});
  };
  CHECK(refused([](auto& p) { p.head_dim = 96; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.type = FloatType::kF32; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.q = static_cast<const char*>(p.q) + 2; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.k_strides.token = 68; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.heads = 70000, p.key_heads = 1; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.keys = int64_t{1} << 31; }) == Status::kUnsupported);
  CHECK(refused([](auto& p) { p.keys = -1; }) == Status::kInvalid);
  CHECK(refused([](auto& p) { p.heads = 3, p.key_heads = 2; }) == Status::kInvalid);
  CHECK(refused([](auto& p) { p.scale = 0; }) == Status::kInvalid);
  CHECK(refused([](auto& p) { p.total_queries = 7; }) == Status::kInvalid);
  CHECK(refused([](auto& p) { p.queries_per_group = 3, p.query_groups = 2; }) == Status::kInvalid);
  CHECK(refused([](auto& p) { p.keys = 4096; }) == Status::kWorkspaceTooSmall);
  CHECK(refused([](auto& p) { p.batch = 0, p.total_queries = 0; }) == Status::kOk);
  CHECK(mmada::simt::statistics().launches == 0);
}

TEST_CASE("the first implementation that a GPU runs and that takes the call is chosen") {
  using attention::Implementation;
  const auto any = [](const AttentionParams&) { return true; };
  const auto wide_heads = [](const AttentionParams& p) { return p.head_dim == 128; };
  const Implementation table[] = {
      {"newest", 100, any, nullptr}, {"wide heads", 90, wide_heads, nullptr}, {"oldest", 80, any, nullptr}};
  const auto chosen = [&](int compute_capability, int64_t head_dim) -> std::string {
    AttentionParams p;
    p.head_dim = head_dim;
    const Implementation* entry = attention::first_that_fits(table, compute_capability, p);
    return entry == nullptr ? "none" : entry->name;
  };
  CHECK(chosen(103, 64) == "newest");
  CHECK(chosen(90, 128) == "wide heads");
  CHECK(chosen(90, 64) == "oldest");
  CHECK(chosen(80, 128) == "oldest");
  CHECK(chosen(75, 128) == "none");
}

TEST_CASE(
    "implementations are ordered from the newest GPUs to the oldest, and each of them is the oracle's") {
  int newer = 1000;
  for (const attention::Implementation& entry : attention::implementations()) {
    CHECK(entry.compute_capability <= newer);
    newer = entry.compute_capability;
    if (!on_device() && entry.compute_capability > Context().compute_capability) continue;
    Problem<__nv_bfloat16> problem({.batch = 2, .queries = 70, .keys = 97, .head_dim = 128});
    REQUIRE(entry.takes(problem.narrow_params()));
    problem.check_forward_by(entry);
  }
  CHECK(newer == 80);
}

TEST_CASE("a GPU older than every implementation is refused before anything is launched") {
  Problem<__nv_bfloat16> problem({.queries = 8, .keys = 8});
  const AttentionParams params = problem.narrow_params();
  Context old;
  old.compute_capability = 75;
  mmada::simt::reset_statistics();
  CHECK(attention_cuda(params, old) == Status::kUnsupported);
  std::vector<float> workspace(64);
  old.workspace = workspace.data(), old.workspace_bytes = workspace.size() * sizeof(float);
  CHECK(attention_backward_cuda(params, {}, old) == Status::kUnsupported);
  CHECK(mmada::simt::statistics().launches == 0);
}
