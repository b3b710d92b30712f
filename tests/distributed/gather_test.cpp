// SPDX-License-Identifier: MIT
#include "mmada/distributed/gather.h"

#include <ATen/ATen.h>

#include "tests/distributed/ranks.h"

namespace mmada {
namespace {

/// Longer in each rank than in the one before, of nothing in rank 0.
std::string bytes_of(int rank) {
  return std::string(static_cast<size_t>(rank * 5), static_cast<char>('a' + rank));
}

TEST_CASE("bytes and rows in every rank", "[.gather]") {
  const Group group = test::connect();
  const std::vector<std::string> all = gather_bytes(group, bytes_of(group.rank()));
  REQUIRE(std::ssize(all) == group.size());
  for (int rank = 0; rank < group.size(); ++rank) CHECK(all[rank] == bytes_of(rank));
  std::vector<double> expected;
  for (int rank = 0; rank < group.size(); ++rank)
    for (int i = 0; i < 3 - rank; ++i) expected.push_back(10 * rank + i);
  const at::Tensor own = at::arange(std::max(0, 3 - group.rank()), at::kDouble) + 10 * group.rank();
  CHECK(at::equal(gather_rows(group, own), at::tensor(expected, at::kDouble)));
  CHECK(gather_rows(group, at::empty({0}, at::kFloat)).numel() == 0);
}

TEST_CASE("what ranks hold of different lengths comes together in their order") {
  for (const int processes : {1, 3}) CHECK(test::run_ranks("[.gather]", processes) == 0);
}

}  // namespace
}  // namespace mmada
