// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <dlfcn.h>

#include "mmada/distributed/group.h"
#include "mmada/ops/load_cuda.h"
#include "tests/distributed/ranks.h"

namespace mmada {
namespace {

int gpus() {
  return at::hasCUDA()
             ? static_cast<int>(at::globalContext().getAcceleratorHooksInterface(at::kCUDA).deviceCount())
             : 0;
}

Group connect_gpu() {
  const ProcessEnvironment environment = process_environment();
  return Group::connect(
      environment, {.timeout = std::chrono::seconds(60),
                    .device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(environment.local_rank))});
}

TEST_CASE("without the CUDA half in every rank", "[.without]") {
  CHECK_THROWS_WITH(connect_gpu(), Catch::Contains("expected cpu: " + cuda_library().reason));
}

TEST_CASE("GPUs that the library knows nothing of are an error that says why") {
  if (cuda_library().loaded) return;
  CHECK(test::run_ranks("[.without]", 2) == 0);
}

TEST_CASE("with the CUDA half in every rank", "[.without-gpus]") {
  REQUIRE(dlopen(MMADA_CUDA_LIBRARY, RTLD_NOW | RTLD_GLOBAL) != nullptr);
  CHECK_THROWS_WITH(connect_gpu(), Catch::Contains("ProcessGroupNCCL is only supported with GPUs"));
}

TEST_CASE("the CUDA half brings NCCL, which asks for GPUs") {
  if (gpus() > 0 || !*MMADA_CUDA_LIBRARY) return;
  CHECK(test::run_ranks("[.without-gpus]", 2) == 0);
}

TEST_CASE("collectives on GPUs in every rank", "[.gpus]") {
  const Group group = connect_gpu();
  const at::TensorOptions options =
      at::TensorOptions(at::Device(at::kCUDA, group.rank())).dtype(at::kBFloat16);
  at::Tensor gathered = at::empty({2 * group.size()}, options), part = at::empty({2}, options);
  group.all_gather(gathered, at::full({2}, group.rank() + 1, options)).wait();
  group.reduce_scatter(part, gathered).wait();
  CHECK(gathered[-1].item<double>() == group.size());
  CHECK(part[0].item<double>() == group.size() * (group.rank() + 1));
  CHECK(group.sum({1.5}).front() == 1.5 * group.size());  // the CPU's go on over Gloo
}

TEST_CASE("gathering and reducing among GPUs", "[gpus]") {
  if (gpus() >= 2) CHECK(test::run_ranks("[.gpus]", 2) == 0);
}

}  // namespace
}  // namespace mmada
