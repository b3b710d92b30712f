// SPDX-License-Identifier: MIT
// A header with a wrong checksum is refused unread: this changes one field or the order of the blocks and
// mends the checksums. Gzipped archives are left to libFuzzer, half of the time gzipped anew from plain ones.
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr size_t kBlock = 512;

struct Field {
  size_t offset, size;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kType{156, 1}, kLink{157, 100},
    kMagic{257, 8}, kPrefix{345, 155};

std::string number(size_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "%011zo", value);
  return text;
}

void put(std::string* block, const Field& field, const std::string& value) {
  const std::string padded =
      value.substr(0, field.size) + std::string(field.size - std::min(field.size, value.size()), '\0');
  block->replace(field.offset, field.size, padded);
}

void mend(std::string* block) {
  put(block, kChecksum, "        ");
  unsigned sum = 0;
  for (const char c : *block) sum += static_cast<unsigned char>(c);
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  put(block, kChecksum, std::string(text) + std::string("\0 ", 2));
}

std::string new_header(const std::string& name, size_t bytes, char type) {
  std::string block(kBlock, '\0');
  put(&block, kName, name);
  put(&block, {100, 8}, "0000644");
  put(&block, {108, 8}, "0000000");
  put(&block, {116, 8}, "0000000");
  put(&block, kSize, number(bytes));
  put(&block, {136, 12}, number(0));
  put(&block, kType, std::string(1, type));
  put(&block, kMagic, std::string("ustar\00000", 8));
  return block;
}

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}
  size_t below(size_t bound) { return random_() % bound; }

  std::string name() {
    static const std::vector<std::string> kNames = {
        "a",    "a/b",     "..",     "../a", "a/../b",         "/a",           "./a//b", "a/..",
        "\xFF", "a\x01.b", "a\\..b", "",     "\xC3\xA9/b.png", "\xED\xA0\x80", "a\x7F",  "a/./b"};
    return below(8) == 0 ? std::string(90 + below(10), 'n') : kNames[below(kNames.size())];
  }

  std::string size() {
    static const std::vector<std::string> kSizes = {"77777777777",
                                                    "-1",
                                                    "",
                                                    "9",
                                                    "00000000001",
                                                    "00000004000",
                                                    "00000004001",
                                                    std::string("\x80\0\0\0\0\0\0\0\0\0\0\5", 12),
                                                    std::string(12, '\xFF')};
    return below(2) ? number(below(1200)) : kSizes[below(kSizes.size())];
  }

  void change_header(std::string* block) {
    static constexpr char kTypes[] = {'0', '\0', '1', '2', '3', '5', '6', '7',
                                      'L', 'K',  'x', 'g', 'S', 'V', 'D'};
    switch (below(6)) {
      case 0:
        put(block, kName, name());
        break;
      case 1:
        put(block, kPrefix, name());
        break;
      case 2:
        put(block, kSize, size());
        break;
      case 3:
        put(block, kType, std::string(1, kTypes[below(sizeof kTypes)]));
        break;
      case 4:
        put(block, kMagic, below(2) ? std::string("ustar\00000", 8) : std::string("ustar  \0", 8));
        break;
      default:
        put(block, kLink, name());
    }
    mend(block);
  }

  void change(std::vector<std::string>* blocks) {
    if (blocks->empty()) return blocks->push_back(with_checksum(new_header("a", 0, '0')));
    std::string& block = (*blocks)[below(blocks->size())];
    switch (below(8)) {
      case 0:
        return blocks->erase(blocks->begin() + static_cast<int64_t>(below(blocks->size()))), void();
      case 1:
        return blocks->insert(blocks->begin() + static_cast<int64_t>(below(blocks->size())),
                              std::string(block)),
               void();
      case 2:
        return blocks->insert(blocks->begin(), with_checksum(new_header(name(), 0, below(3) ? '0' : '5'))),
               void();
      case 3:
        return std::swap(block, (*blocks)[below(blocks->size())]);
      default:
        return change_header(&block);
    }
  }

  /// The name of the member that follows, as GNU tar and pax give long ones.
  void add_long_name(std::vector<std::string>* blocks) {
    const std::string name = std::string(150 + below(120), 'l') + (below(3) == 0 ? "/../" : "/") + "x";
    const bool pax = below(2) == 0;
    std::string body = pax ? " path=" + name + "\n" : name + std::string(1, '\0');
    if (pax) body = std::to_string(body.size() + 3) + body;
    std::string block = body;
    block.resize(kBlock, '\0');
    blocks->insert(blocks->begin(), block);
    blocks->insert(blocks->begin(), with_checksum(new_header("long", body.size(), pax ? 'x' : 'L')));
  }

 private:
  static std::string with_checksum(std::string block) {
    mend(&block);
    return block;
  }

  std::minstd_rand random_;
};

std::string zipped(const std::string& plain) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY);
  std::vector<uint8_t> packed(deflateBound(&stream, plain.size()) + 64);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(plain.data()));
  stream.avail_in = static_cast<unsigned>(plain.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<unsigned>(packed.size());
  deflate(&stream, Z_FINISH);
  deflateEnd(&stream);
  return {packed.begin(), packed.begin() + static_cast<int64_t>(stream.total_out)};
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size, size_t max_size, unsigned seed) {
  Mutator mutator(seed);
  const std::string all(reinterpret_cast<const char*>(bytes), size);
  if (all.starts_with("\x1f\x8b") || mutator.below(8) == 0) return LLVMFuzzerMutate(bytes, size, max_size);
  std::vector<std::string> blocks;
  for (size_t at = 0; at < size; at += kBlock) blocks.push_back(all.substr(at, kBlock));
  if (!blocks.empty()) blocks.back().resize(kBlock, '\0');
  for (size_t i = 1 + mutator.below(3); i > 0; --i) mutator.change(&blocks);
  if (mutator.below(8) == 0) mutator.add_long_name(&blocks);
  std::string result;
  for (const std::string& block : blocks) result += block;
  if (mutator.below(8) == 0) result.resize(mutator.below(result.size() + 1));
  if (mutator.below(16) == 0) result = zipped(result);
  if (result.size() > max_size) return LLVMFuzzerMutate(bytes, size, max_size);
  std::memcpy(bytes, result.data(), result.size());
  return result.size();
}
