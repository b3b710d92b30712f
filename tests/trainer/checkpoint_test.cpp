// SPDX-License-Identifier: MIT
#include "mmada/trainer/checkpoint.h"

#include <ATen/ATen.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/core/rng.h"
#include "mmada/formats/atomic_file.h"
#include "tests/distributed/ranks.h"

namespace {

namespace fs = std::filesystem;
using namespace mmada;

fs::path fresh_run(const std::string& name) {
  const fs::path run = fs::path(MMADA_TEST_TMP) / name;
  fs::remove_all(run);
  return run;
}

CheckpointTensor whole(const std::string& name, const std::string& kind, const at::Tensor& tensor) {
  return {name, kind, tensor, tensor.sizes().vec()};
}

CheckpointContents contents(int64_t step, double value = 1.0) {
  return {.step = step,
          .tensors = {whole("w", "master", at::full({2, 3}, value)),
                      whole("w", "exp_avg", at::arange(6, at::kFloat).reshape({2, 3}))},
          .state = {{"step", step}, {"note", "x"}},
          .save_model = [](const std::string& directory) {
            fs::create_directory(directory + "/unwrapped_model");
            std::ofstream(directory + "/unwrapped_model/config.json") << "{}";
          }};
}

void flip_bit(const fs::path& path, int64_t offset, int bit = 0) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char byte = static_cast<char>(file.get() ^ (1 << bit));
  file.seekp(offset);
  file.put(byte);
}

}  // namespace

TEST_CASE("a checkpoint holds the model, the tensors, an index, the state and a manifest, and loads back") {
  const fs::path run = fresh_run("roundtrip");
  const fs::path path = save_checkpoint(run, contents(7, 2.5), 0);
  CHECK(path.filename() == "checkpoint-7");
  for (const char* file : {"unwrapped_model/config.json", "shard-0-of-1.safetensors", "index.json",
                           "state.json", "manifest.json"})
    CHECK(fs::exists(path / file));
  CHECK(read_json_file((path / "index.json").string())["parameters"]["w"]["kinds"].size() == 2);
  CHECK_FALSE(verify_checkpoint(path).has_value());
  const at::Tensor master = at::zeros({2, 3}), average = at::zeros({2, 3});
  const Json state = load_checkpoint(path, {whole("w", "master", master), whole("w", "exp_avg", average)});
  CHECK(state["step"] == 7);
  CHECK(at::equal(master, at::full({2, 3}, 2.5)));
  CHECK(at::equal(average, at::arange(6, at::kFloat).reshape({2, 3})));
  CHECK_FALSE(fs::exists(run / ".tmp-checkpoint-7"));
}

TEST_CASE("tensors that do not fit the run are one error that lists them all") {
  const fs::path path = save_checkpoint(fresh_run("misfit"), contents(1), 0);
  CHECK_THROWS_WITH(
      load_checkpoint(path, {whole("w", "master", at::zeros({3, 2})), whole("v", "master", at::zeros({1}))}),
      Catch::Contains("w/master: found shape [2, 3], expected [3, 2]") &&
          Catch::Contains("missing v/master") && Catch::Contains("unexpected w/exp_avg"));
}

TEST_CASE("every damaged file is found, and the next older checkpoint is taken") {
  for (const std::string file : {"unwrapped_model/config.json", "shard-0-of-1.safetensors", "index.json",
                                 "state.json", "manifest.json"})
    for (const bool truncate : {false, true}) {
      const fs::path run = fresh_run("damage");
      save_checkpoint(run, contents(1), 0);
      const fs::path newest = save_checkpoint(run, contents(2), 0);
      const auto size = static_cast<int64_t>(fs::file_size(newest / file));
      if (truncate)
        fs::resize_file(newest / file, size - 1);
      else
        flip_bit(newest / file, size / 2);
      std::vector<std::string> refused;
      INFO(file << " " << truncate);
      const auto found = newest_checkpoint(run, &refused);
      if (file == "manifest.json" && truncate) continue;  // its last byte is a newline
      REQUIRE(found.has_value());
      CHECK(found->step == 1);
      REQUIRE(refused.size() == 1);
      CHECK_THAT(refused[0], Catch::Contains("checkpoint-2"));
    }
}

TEST_CASE("one flipped bit anywhere, or any truncation, is found, and the file named") {
  const fs::path run = fresh_run("flips");
  const fs::path path = save_checkpoint(run, contents(3), 0);
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) files.push_back(entry.path());
  REQUIRE(files.size() == 5);
  // a flip in the manifest may show as a difference of the file whose size or hash it holds
  const auto named = [&](const fs::path& file) {
    const std::string problem = verify_checkpoint(path).value_or("nothing was found");
    if (file.filename() == "manifest.json") return Catch::Contains(path.string()).match(problem);
    return Catch::Contains(file.string() + ": ").match(problem);
  };
  Rng random(5, "flips");
  for (int i = 0; i < 1000; ++i) {
    const fs::path& file = files[static_cast<size_t>(random.below(files.size()))];
    const auto offset = static_cast<int64_t>(random.below(fs::file_size(file)));
    const auto bit = static_cast<int>(random.below(8));
    flip_bit(file, offset, bit);
    INFO(file << " byte " << offset << " bit " << bit);
    CHECK(named(file));
    flip_bit(file, offset, bit);
  }
  CHECK_FALSE(verify_checkpoint(path).has_value());
  for (int i = 0; i < 200; ++i) {
    const fs::path& file = files[static_cast<size_t>(random.below(files.size()))];
    const std::string whole = read_file(file.string());
    const uint64_t size = random.below(whole.size() - 1);  // the manifest's last byte is a newline
    fs::resize_file(file, size);
    INFO(file << " cut to " << size);
    CHECK(named(file));
    std::ofstream(file, std::ios::binary | std::ios::trunc) << whole;
  }
  CHECK_FALSE(verify_checkpoint(path).has_value());
}

TEST_CASE("a manifest that names files outside the checkpoint is refused before they are opened") {
  const fs::path run = fresh_run("traversal");
  const fs::path path = save_checkpoint(run, contents(1), 0);
  const std::string manifest = read_file((path / "manifest.json").string());
  for (const std::string name : {"../outside", "/etc/hostname", "unwrapped_model/../../outside", "..", "",
                                 "//etc/hostname", "./../outside", "a/b/../../../outside"}) {
    Json changed = parse_json(manifest, "manifest");
    changed["files"][name] = {{"bytes", 1}, {"sha256", ""}};
    write_file((path / "manifest.json").string(), changed.dump());
    const auto problem = verify_checkpoint(path);
    REQUIRE(problem.has_value());
    CHECK_THAT(*problem, Catch::Contains("manifest.json: field `files`: found " + quote(name) +
                                         ", expected a file inside the checkpoint"));
  }
}

TEST_CASE("a manifest of another form is refused with its field") {
  const fs::path path = save_checkpoint(fresh_run("manifest_form"), contents(1), 0);
  const Json good = read_json_file((path / "manifest.json").string());
  const auto refused = [&](const std::string& pointer, const Json& value, const std::string& words) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    write_file((path / "manifest.json").string(), changed.dump());
    CHECK_THAT(verify_checkpoint(path).value_or(""),
               Catch::Contains("manifest.json: field `") && Catch::Contains(words));
  };
  refused("/format_version", 2, "`format_version`: found 2, expected an integer from 1 to 1");
  refused("/files", Json::array(), "`files`: found a list, expected an object of file names");
  refused("/files", Json::object(), "`files`: found no index.json");
  refused("/files/index.json", 7, "`files.index.json`: found 7, expected an object");
  refused("/files/index.json/bytes", -1, "`files.index.json.bytes`: found -1");
  refused("/files/index.json/sha256", nullptr, "`files.index.json.sha256`: found nothing");
}

TEST_CASE("folders of interrupted saves are not checkpoints and are cleared away") {
  const fs::path run = fresh_run("unfinished");
  save_checkpoint(run, contents(1), 0);
  fs::create_directories(run / ".tmp-checkpoint-2" / "unwrapped_model");
  fs::create_directories(run / "checkpoint-x");
  std::vector<std::string> refused;
  CHECK(newest_checkpoint(run, &refused)->step == 1);
  CHECK(refused.empty());
  CHECK_FALSE(fs::exists(run / ".tmp-checkpoint-2"));
  CHECK_FALSE(newest_checkpoint(fresh_run("nothing"), &refused).has_value());
}

TEST_CASE("a save that fails leaves what was there") {
  const fs::path run = fresh_run("failing");
  save_checkpoint(run, contents(5, 1.0), 0);
  CheckpointContents failing = contents(5, 2.0);
  failing.save_model = [](const std::string&) { throw Error("disk on fire"); };
  CHECK_THROWS_WITH(save_checkpoint(run, failing, 2), Catch::Contains("disk on fire"));
  CHECK_FALSE(verify_checkpoint(run / "checkpoint-5").has_value());
  CheckpointContents infinite = contents(6);
  infinite.tensors[0].tensor[0][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(save_checkpoint(run, infinite, 2), Catch::Contains("not finite in w/master"));
  CHECK(list_checkpoints(run).size() == 1);
}

TEST_CASE("saving a step again replaces it, and old checkpoints go beyond the limit") {
  const fs::path run = fresh_run("rotation");
  for (const int64_t step : {1, 2, 3, 10}) save_checkpoint(run, contents(step), 3);
  const auto found = list_checkpoints(run);
  REQUIRE(found.size() == 3);
  CHECK(found[0].step == 10);
  CHECK(found[2].step == 2);
  save_checkpoint(run, contents(10, 9.0), 3);
  const at::Tensor master = at::zeros({2, 3}), average = at::zeros({2, 3});
  load_checkpoint(run / "checkpoint-10", {whole("w", "master", master), whole("w", "exp_avg", average)});
  CHECK(master[0][0].item<double>() == 9.0);
  CHECK(std::distance(fs::directory_iterator(run), fs::directory_iterator()) == 3);
}

TEST_CASE("of a thousand saves of which one in three fails somewhere, a verified one is always left") {
  const fs::path run = fresh_run("thousand");
  Rng random(14, "failing saves");
  int64_t failed = 0, last_saved = -1;
  for (int64_t step = 0; step < 1000; ++step) {
    CheckpointContents saved = contents(step, static_cast<double>(step));
    switch (random.below(10)) {
      case 0:
        saved.save_model = [](const std::string&) { throw Error("disk on fire"); };
        break;
      case 1:
        saved.tensors[1].tensor[0][0] = std::numeric_limits<float>::infinity();
        break;
      case 2:  // the file a shard is to become is a folder already
        saved.save_model = [](const std::string& directory) {
          fs::create_directory(directory + "/shard-0-of-1.safetensors");
        };
        break;
      default:
        last_saved = step;
    }
    if (last_saved == step) {
      save_checkpoint(run, saved, 2);
    } else {
      CHECK_THROWS_AS(save_checkpoint(run, saved, 2), SaveError);
      ++failed;
    }
    if (last_saved < 0) continue;
    const auto found = list_checkpoints(run);
    REQUIRE((!found.empty() && found.size() <= 2));
    REQUIRE(found[0].step == last_saved);
    REQUIRE_FALSE(verify_checkpoint(found[0].path).has_value());
  }
  CHECK((failed > 250 && failed < 350));
}

namespace {

constexpr int64_t kElements = 23;  // no number of processes divides it

/// This rank's piece of a parameter of which element i of each kind is a function of i.
std::vector<CheckpointTensor> pieces(const Group& group, bool filled) {
  const int64_t begin = kElements * group.rank() / group.size(),
                end = kElements * (group.rank() + 1) / group.size();
  std::vector<CheckpointTensor> result;
  for (const double factor : {1.0, -0.5}) {
    at::Tensor piece = at::arange(begin, end, at::kFloat) * factor;
    if (!filled) piece.zero_();
    result.push_back({"w", factor > 0 ? "master" : "exp_avg", piece, {1, kElements}, begin});
  }
  return result;
}

/// The folder that the processes of one claim share; claims are tested side by side.
constexpr const char* kSharedRun = "MMADA_TEST_SHARED_RUN";
fs::path shared_run() { return std::getenv(kSharedRun); }

int run_ranks_in(const fs::path& run, const std::string& tag, int processes) {
  return mmada::test::run_ranks(tag, processes, {{kSharedRun, run.string()}});
}

}  // namespace

TEST_CASE("saving in every rank", "[.save]") {
  const Group group = mmada::test::connect();
  CheckpointContents saved{
      .step = 4, .tensors = pieces(group, true), .state = {{"step", 4}}, .save_model = {}};
  saved.save_model = [](const std::string&) {};
  save_checkpoint(shared_run(), saved, 0, group);
}

TEST_CASE("loading in every rank", "[.load]") {
  const Group group = mmada::test::connect();
  const auto loaded = pieces(group, false), expected = pieces(group, true);
  CHECK(load_checkpoint(shared_run() / "checkpoint-4", loaded, group)["step"] == 4);
  for (size_t i = 0; i < loaded.size(); ++i) CHECK(at::equal(loaded[i].tensor, expected[i].tensor));
}

TEST_CASE("any number of processes loads what any number saved, bit for bit") {
  for (const int saving : {1, 2, 4, 3}) {
    const fs::path run = fresh_run("resharded"), path = run / "checkpoint-4";
    CHECK(run_ranks_in(run, "[.save]", saving) == 0);
    CHECK_FALSE(verify_checkpoint(path).has_value());
    CHECK(fs::exists(path / ("shard-0-of-" + std::to_string(saving) + ".safetensors")));
    for (const int loading : {1, 2, 4})
      if (loading != saving) CHECK(run_ranks_in(run, "[.load]", loading) == 0);
  }
}

TEST_CASE("a failing rank", "[.failing]") {
  const Group group = mmada::test::connect();
  CheckpointContents saved{
      .step = 5, .tensors = pieces(group, true), .state = {{"step", 5}}, .save_model = {}};
  saved.save_model = [](const std::string&) {};
  if (group.rank() == 1) saved.tensors[0].tensor[0] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(save_checkpoint(shared_run(), saved, 0, group),
                    Catch::Contains(group.rank() == 1 ? "not finite in w/master" : "rank 1 of 2 failed"));
}

TEST_CASE("what fails in one process fails in all, and nothing is saved") {
  const fs::path run = fresh_run("one_rank_fails");
  CHECK(run_ranks_in(run, "[.failing]", 2) == 0);
  CHECK(list_checkpoints(run).empty());
}

TEST_CASE("a checkpoint with other parameters than the run's is refused by all processes", "[.other]") {
  const Group group = mmada::test::connect();
  auto loaded = pieces(group, false);
  loaded.erase(loaded.begin() + 1);
  CHECK_THROWS_WITH(load_checkpoint(shared_run() / "checkpoint-4", loaded, group),
                    Catch::Contains("found 46 elements of parameters and optimizer, expected this run's 23"));
}

TEST_CASE("what a checkpoint holds beyond the run's is an error among processes too") {
  const fs::path run = fresh_run("other_parameters");
  CHECK(run_ranks_in(run, "[.save]", 2) == 0);
  CHECK(run_ranks_in(run, "[.other]", 2) == 0);
}
