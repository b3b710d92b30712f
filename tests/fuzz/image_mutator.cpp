// SPDX-License-Identifier: MIT
// A PNG chunk with a wrong checksum is thrown away unread, and a changed byte of compressed data seldom
// inflates: this mends the checksums after every change and also changes the rows inside the compression.
// Other formats are left to libFuzzer.
#include <zlib.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);

struct Chunk {
  std::string name;
  std::string data;
};

uint32_t big_endian(const uint8_t* at) { return uint32_t{at[0]} << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

std::string big_endian_text(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::vector<Chunk> split(const uint8_t* bytes, size_t size) {
  std::vector<Chunk> chunks;
  for (size_t at = kSignature.size(); size >= at + 12;) {
    const size_t length = std::min<size_t>(big_endian(bytes + at), size - at - 12);
    const auto* text = reinterpret_cast<const char*>(bytes + at);
    chunks.push_back({std::string(text + 4, 4), std::string(text + 8, length)});
    at += length + 12;
  }
  return chunks;
}

std::string join(const std::vector<Chunk>& chunks) {
  std::string bytes(kSignature);
  for (const auto& [name, data] : chunks) {
    const std::string body = name + data;
    const auto crc =
        crc32(0, reinterpret_cast<const uint8_t*>(body.data()), static_cast<unsigned>(body.size()));
    bytes += big_endian_text(static_cast<uint32_t>(data.size())) + body +
             big_endian_text(static_cast<uint32_t>(crc));
  }
  return bytes;
}

std::string mutated(const std::string& data, size_t room) {
  std::vector<uint8_t> bytes(data.begin(), data.end());
  bytes.resize(data.size() + room);
  bytes.resize(LLVMFuzzerMutate(bytes.data(), data.size(), bytes.size()));
  return {bytes.begin(), bytes.end()};
}

/// The rows of an IDAT chunk changed and packed again; nothing where they do not inflate.
std::string with_changed_rows(const std::string& packed) {
  std::vector<uint8_t> rows(1 << 16);
  uLongf size = rows.size();
  if (uncompress(rows.data(), &size, reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != Z_OK)
    return {};
  const std::string changed = mutated(std::string(rows.begin(), rows.begin() + size), 16);
  std::vector<uint8_t> again(compressBound(changed.size()));
  uLongf bytes = again.size();
  compress(again.data(), &bytes, reinterpret_cast<const Bytef*>(changed.data()), changed.size());
  return {again.begin(), again.begin() + bytes};
}

void change(std::vector<Chunk>& chunks, std::minstd_rand& random) {
  static const char* const kNames[] = {"IHDR", "PLTE", "IDAT", "tRNS", "gAMA",
                                       "tEXt", "iCCP", "acTL", "IEND", "abCd"};
  if (chunks.empty()) return chunks.push_back({"IHDR", std::string(13, '\1')});
  Chunk& chunk = chunks[random() % chunks.size()];
  switch (random() % 6) {
    case 0:
      return chunks.insert(chunks.begin() + random() % chunks.size(), Chunk(chunk)), void();
    case 1:
      return void(chunk.name = kNames[random() % 10]);
    case 2:
      return chunks.erase(chunks.begin() + random() % chunks.size()), void();
    case 3:
      if (chunk.name == "IDAT")
        if (const auto packed = with_changed_rows(chunk.data); !packed.empty()) chunk.data = packed;
      return;
    default:
      chunk.data = mutated(chunk.data, 32);
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  random.discard(3);
  const bool png = size >= 8 && std::memcmp(bytes, kSignature.data(), 8) == 0;
  if (!png || random() % 8 == 0) return LLVMFuzzerMutate(bytes, size, max_size);
  auto chunks = split(bytes, size);
  for (size_t i = 1 + random() % 2; i > 0; --i) change(chunks, random);
  const std::string result = join(chunks);
  if (result.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, result.data(), result.size());
  return result.size();
}
