// SPDX-License-Identifier: MIT
// libpng reports errors by longjmp. Every function here that calls setjmp holds nothing but pointers and
// numbers, so no destructor is jumped over; what needs one lives in its caller.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/image_codec.h"

namespace mmada {
namespace {

constexpr size_t kSignature = 8;

struct PngState {
  std::string_view input;
  size_t position = 0;
  std::string output;
  char message[160] = {};
  png_structp png = nullptr;
  png_infop info = nullptr;
};

PngState& state_of(png_voidp pointer) { return *static_cast<PngState*>(pointer); }

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& state = state_of(png_get_error_ptr(png));
  std::snprintf(state.message, sizeof state.message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}  // the default prints

void on_read(png_structp png, png_bytep destination, png_size_t bytes) {
  auto& state = state_of(png_get_io_ptr(png));
  if (bytes > state.input.size() - state.position) png_error(png, "the file ends early");
  std::memcpy(destination, state.input.data() + state.position, bytes);
  state.position += bytes;
}

void on_write(png_structp png, png_bytep data, png_size_t bytes) {
  auto& state = state_of(png_get_io_ptr(png));
  bool stored = true;
  try {
    state.output.append(reinterpret_cast<const char*>(data), bytes);
  } catch (...) {
    stored = false;  // C frames must not be unwound: leave by libpng's way below
  }
  if (!stored) png_error(png, "out of memory");
}

void on_flush(png_structp) {}

struct PngReader : PngState {
  PngReader(std::string_view bytes, const std::string& source) {
    input = bytes;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, static_cast<PngState*>(this), on_error, on_warning);
    info = png == nullptr ? nullptr : png_create_info_struct(png);
    if (info == nullptr) png_destroy_read_struct(&png, nullptr, nullptr);
    MMADA_CHECK(info != nullptr, source, ": the PNG decoder cannot be started");
  }
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
};

struct PngWriter : PngState {
  PngWriter() {
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, static_cast<PngState*>(this), on_error, on_warning);
    info = png == nullptr ? nullptr : png_create_info_struct(png);
    if (info == nullptr) png_destroy_write_struct(&png, nullptr);
    MMADA_CHECK(info != nullptr, "PNG: the encoder cannot be started");
  }
  ~PngWriter() { png_destroy_write_struct(&png, &info); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;
};

bool read_header(PngReader& reader, uint32_t max_side) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, static_cast<PngState*>(&reader), on_read);
  png_set_user_limits(reader.png, max_side, max_side);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr,
                              -1);  // texts, profiles: never inflated
  png_set_option(reader.png, PNG_MAXIMUM_INFLATE_WINDOW,
                 PNG_OPTION_ON);  // files with a wrong window size exist
  png_read_info(reader.png, reader.info);
  return true;
}

/// Everything becomes 8-bit RGB rows; interlaced pictures are read into the same rows pass by pass.
bool read_rows(PngReader& reader, uint8_t* pixels, size_t width, size_t height) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_palette_to_rgb(reader.png);
  png_set_expand_gray_1_2_4_to_8(reader.png);
  png_set_strip_16(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_gray_to_rgb(reader.png);
  const int passes = png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != 3 * width) png_error(reader.png, "unexpected row size");
  for (int pass = 0; pass < passes; ++pass)
    for (size_t y = 0; y < height; ++y) png_read_row(reader.png, pixels + y * width * 3, nullptr);
  return true;
}

uint32_t big_endian(std::string_view bytes, size_t at) {
  const auto* byte = reinterpret_cast<const uint8_t*>(bytes.data() + at);
  return uint32_t{byte[0]} << 24 | uint32_t{byte[1]} << 16 | uint32_t{byte[2]} << 8 | byte[3];
}

/// Looks at the size before libpng does, whose message would not say what was found.
void check_declared_size(std::string_view bytes, const std::string& source, const Limits& limits) {
  MMADA_CHECK(bytes.size() >= kSignature + 25 && bytes.substr(kSignature + 4, 4) == "IHDR", source,
              ": not a valid PNG picture: found no IHDR chunk at its start");
  codec::check_size(big_endian(bytes, kSignature + 8), big_endian(bytes, kSignature + 12), source, limits);
}

/// Total length of the IDAT chunks; their contents are the decoder's business.
uint64_t compressed_bytes(std::string_view bytes) {
  uint64_t total = 0;
  for (size_t at = kSignature; bytes.size() - at >= 12;) {
    const uint64_t length = big_endian(bytes, at);
    if (bytes.substr(at + 4, 4) == "IDAT") total += length;
    if (length > bytes.size() - at - 12) break;
    at += length + 12;
  }
  return total;
}

/// Deflate packs at most 1032 to 1, so fewer bytes cannot hold the rows; and far more bytes than the rows
/// need would be inflated to nowhere (a 16x16 picture with 900 MB behind it).
void check_compressed(const PngReader& reader, const std::string& source) {
  const uint64_t rows =
      uint64_t{png_get_rowbytes(reader.png, reader.info) + 1} * png_get_image_height(reader.png, reader.info);
  const uint64_t found = compressed_bytes(reader.input);
  MMADA_CHECK(found >= rows / 1032 && found <= 2 * rows + 65536, source, ": found ", found,
              " bytes of PNG data, which do not fit the ", rows, " bytes of its rows");
}

struct PngText {
  std::string key;
  std::string value;
  bool ascii;
};

std::vector<PngText> text_entries(const std::map<std::string, std::string>& text) {
  std::vector<PngText> entries;
  for (const auto& [key, value] : text) {
    const bool printable_key =
        std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
    MMADA_CHECK(printable_key && !key.empty() && key.size() <= 79 && key.front() != ' ' && key.back() != ' ',
                "PNG text key ", quote(key), ": expected 1 to 79 printable ASCII characters");
    MMADA_CHECK(is_utf8(value) && value.find('\0') == std::string::npos, "PNG text ", quote(key),
                ": expected UTF-8 without NUL");
    const bool ascii =
        std::all_of(value.begin(), value.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
    entries.push_back({key, value, ascii});
  }
  return entries;
}

bool write_all(PngWriter& writer, const Image& image, png_text* texts, int text_count) {
  if (setjmp(png_jmpbuf(writer.png))) return false;
  png_set_write_fn(writer.png, static_cast<PngState*>(&writer), on_write, on_flush);
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8,
               image.channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (text_count > 0) png_set_text(writer.png, writer.info, texts, text_count);
  png_write_info(writer.png, writer.info);
  for (int64_t y = 0; y < image.height; ++y) png_write_row(writer.png, image.row(y));
  png_write_end(writer.png, nullptr);
  return true;
}

}  // namespace

namespace codec {

Image decode_png(std::string_view bytes, const std::string& source, const Limits& limits) {
  check_declared_size(bytes, source, limits);
  PngReader reader(bytes, source);
  const auto max_side = static_cast<uint32_t>(std::min<uint64_t>(limits.image_side, PNG_UINT_31_MAX));
  MMADA_CHECK(read_header(reader, max_side), source,
              ": not a valid PNG picture: ", printable(reader.message));
  const uint64_t width = png_get_image_width(reader.png, reader.info);
  const uint64_t height = png_get_image_height(reader.png, reader.info);
  check_compressed(reader, source);
  Image image = allocate_rgb(width, height, source, limits);
  MMADA_CHECK(read_rows(reader, image.pixels.data(), width, height), source,
              ": damaged PNG picture: ", printable(reader.message));
  return image;
}

}  // namespace codec

std::string encode_png(const Image& image, const std::map<std::string, std::string>& text) {
  codec::check_encodable(image, "PNG", PNG_USER_WIDTH_MAX);
  auto entries = text_entries(text);
  std::vector<png_text> texts(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    texts[i].compression = entries[i].ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    texts[i].key = entries[i].key.data();
    texts[i].text = entries[i].value.data();
    texts[i].text_length = entries[i].ascii ? entries[i].value.size() : 0;
    texts[i].itxt_length = entries[i].ascii ? 0 : entries[i].value.size();
  }
  PngWriter writer;
  MMADA_CHECK(write_all(writer, image, texts.data(), static_cast<int>(texts.size())),
              "PNG: encoding failed: ", writer.message);
  return std::move(writer.output);
}

}  // namespace mmada
