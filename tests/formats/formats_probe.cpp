// SPDX-License-Identifier: MIT
// What the Python oracles ask: `formats_probe image|mask FILE` writes "WIDTH HEIGHT CHANNELS\n" and the
// pixels; `formats_probe safetensors FILE...` and `formats_probe checkpoint FOLDER...` write one line "ok" or
// the error for each; `formats_probe json|index|tokenizer PATH` reads it; `formats_probe rewrite IN OUT`
// reads a safetensors file and writes it again; `formats_probe tar FILE` lists names and SHA-256 of the files
// of an archive; `formats_probe words VOCABULARY TEXTS` writes the WordPiece ids of a JSON list of texts, one
// line each. With MMADA_PROBE_PEAK set the last line of stderr is the peak
// of memory in KiB.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "mmada/core/check.h"
#include "mmada/core/json.h"
#include "mmada/core/sha256.h"
#include "mmada/formats/bpe_tokenizer.h"
#include "mmada/formats/image_file.h"
#include "mmada/formats/safetensors.h"
#include "mmada/formats/tar_reader.h"
#include "mmada/formats/word_piece.h"

namespace {

void print_image(const mmada::Image& image) {
  std::printf("%lld %lld %lld\n", static_cast<long long>(image.width), static_cast<long long>(image.height),
              static_cast<long long>(image.channels));
  std::fwrite(image.pixels.data(), 1, image.pixels.size(), stdout);
}

void judge(const std::string& kind, const std::string& path) {
  try {
    if (kind == "safetensors") mmada::SafetensorsFile{path};
    if (kind == "checkpoint") mmada::find_checkpoint_files(path);
    std::puts("ok");
  } catch (const mmada::Error& error) {
    std::puts(error.what());
  }
}

void rewrite(const std::string& in, const std::string& out) {
  const mmada::SafetensorsFile file(in);
  std::vector<std::vector<char>> data;
  std::vector<mmada::TensorToWrite> tensors;
  for (const auto& entry : file.tensors()) {
    data.emplace_back(entry.end - entry.begin);
    file.read(entry, data.back().data());
    tensors.push_back({entry.name, entry.dtype, entry.shape, data.back().data()});
  }
  mmada::write_safetensors(out, tensors, file.metadata());
}

void list_tar(const std::string& path) {
  mmada::TarReader reader(path);
  while (const auto member = reader.next())
    std::printf("%s %s\n", mmada::sha256_hex(reader.read()).c_str(), member->name.c_str());
}

void print_words(const std::string& vocabulary, const std::string& texts) {
  const auto words = mmada::WordPiece::load(vocabulary);
  for (const mmada::Json& text : mmada::read_json_file(texts)) {
    for (const int64_t id : words.encode(text.get<std::string>()))
      std::printf("%lld ", static_cast<long long>(id));
    std::puts("");
  }
}

void print_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) std::fprintf(stderr, "%d\n", std::atoi(line.c_str() + 6));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 2) return 2;
  if (std::getenv("MMADA_PROBE_PEAK") != nullptr) std::atexit(print_peak);
  try {
    if (arguments[0] == "image") print_image(mmada::read_image(arguments[1]));
    if (arguments[0] == "mask") print_image(mmada::read_mask(arguments[1]));
    if (arguments[0] == "rewrite") rewrite(arguments[1], arguments.at(2));
    if (arguments[0] == "tar") list_tar(arguments[1]);
    if (arguments[0] == "words") print_words(arguments[1], arguments.at(2));
    if (arguments[0] == "json") mmada::read_json_file(arguments[1]);
    if (arguments[0] == "index") mmada::find_checkpoint_files(arguments[1]);
    if (arguments[0] == "tokenizer") mmada::BpeTokenizer::load(arguments[1]);
    if (arguments[0] == "safetensors" || arguments[0] == "checkpoint")
      for (size_t i = 1; i < arguments.size(); ++i) judge(arguments[0], arguments[i]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
