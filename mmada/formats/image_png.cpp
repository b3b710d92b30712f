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

/// The default prints. The first one is kept: a damaged picture may be known by nothing else.
void on_warning(png_structp png, png_const_charp message) {
  auto& state = state_of(png_get_error_ptr(png));
  if (state.message[0] == 0) std::snprintf(state.message, sizeof state.message, "%s", message);
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

/// libpng is fed the file and calls back (its "progressive" reader): it then stops inflating with the last
/// row, where png_read_row would go on through whatever stands behind it, gigabytes out of a few megabytes.
struct PngReader : PngState {
  std::string_view input;
  size_t position = 0;       // of the first byte that libpng has not taken
  uint64_t packed_rows = 0;  // bytes of the rows as they are compressed, interlacing aside
  bool interlaced = false;
  uint8_t* pixels = nullptr;
  bool complete = false;  // the last row was handed over
  bool ended = false;     // the IEND chunk was met

  PngReader(std::string_view bytes, const std::string& source) : input(bytes) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, static_cast<PngState*>(this), on_error, on_warning);
    info = png == nullptr ? nullptr : png_create_info_struct(png);
    if (info == nullptr) png_destroy_read_struct(&png, nullptr, nullptr);
    MMADA_CHECK(info != nullptr, source, ": the PNG decoder cannot be started");
  }
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
};

PngReader& reader_of(png_structp png) { return *static_cast<PngReader*>(png_get_progressive_ptr(png)); }

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

/// The chunks before the pixels were read: asks for 8-bit RGB rows, and pauses, so that sizes can be judged.
void on_info(png_structp png, png_infop info) {
  auto& reader = reader_of(png);
  if (reader.packed_rows > 0) png_error(png, "another chunk among the IDAT chunks");
  reader.packed_rows = uint64_t{png_get_rowbytes(png, info) + 1} * png_get_image_height(png, info);
  reader.interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
  png_set_palette_to_rgb(png);
  png_set_expand_gray_1_2_4_to_8(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != size_t{3} * png_get_image_width(png, info))
    png_error(png, "unexpected row size");
  reader.position -= png_process_data_pause(png, /*save=*/0);
}

/// Passes of an interlaced picture are written over each other; every pass ends with a call for the last row.
void on_row(png_structp png, png_bytep row, png_uint_32 number, int pass) {
  auto& reader = reader_of(png);
  const size_t width = png_get_image_width(png, reader.info);
  if (row != nullptr) png_progressive_combine_row(png, reader.pixels + number * width * 3, row);
  if (number + 1 == png_get_image_height(png, reader.info) && pass == (reader.interlaced ? 6 : 0))
    reader.complete = true;
}

void on_end(png_structp png, png_infop) { reader_of(png).ended = true; }

void set_up(PngReader& reader, uint32_t max_side) {
  png_set_progressive_read_fn(reader.png, &reader, on_info, on_row, on_end);
  png_set_user_limits(reader.png, max_side, max_side);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr,
                              -1);  // texts, profiles: never inflated
  png_set_option(reader.png, PNG_MAXIMUM_INFLATE_WINDOW,
                 PNG_OPTION_ON);  // files with a wrong window size exist
}

/// Feeds libpng from reader.position on, until it pauses before the pixels or the file ends.
bool feed(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  const auto* bytes = reinterpret_cast<const uint8_t*>(reader.input.data()) + reader.position;
  const size_t size = reader.input.size() - reader.position;
  reader.position = reader.input.size();
  png_process_data(reader.png, reader.info, const_cast<png_bytep>(bytes), size);  // which only reads them
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

/// Deflate packs at most 1032 to 1, so fewer bytes cannot hold the rows; and no encoder needs far more than
/// the rows themselves (a 16x16 picture with 900 MB behind it).
void check_compressed(const PngReader& reader, const std::string& source) {
  const uint64_t rows = reader.packed_rows;
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
  set_up(reader, static_cast<uint32_t>(std::min<uint64_t>(limits.image_side, PNG_UINT_31_MAX)));
  const auto reason = [&] { return printable(reader.message[0] ? reader.message : "the file ends early"); };
  MMADA_CHECK(feed(reader) && reader.packed_rows > 0, source, ": not a valid PNG picture: ", reason());
  check_compressed(reader, source);
  Image image = allocate_rgb(png_get_image_width(reader.png, reader.info),
                             png_get_image_height(reader.png, reader.info), source, limits);
  reader.pixels = image.pixels.data();
  MMADA_CHECK(feed(reader) && reader.complete && reader.ended, source, ": damaged PNG picture: ", reason());
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
