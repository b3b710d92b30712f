// SPDX-License-Identifier: MIT
// libjpeg reports errors by longjmp. Every function here that calls setjmp holds nothing but pointers and
// numbers, so no destructor is jumped over; what needs one lives in its caller.
#include <cstddef>
#include <cstdio>
// jpeglib.h needs both of the above
#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/formats/image_codec.h"

namespace mmada {
namespace {

constexpr int kMaxScans = 100;  // a progressive file has about ten; each costs a pass over the whole picture

struct JpegErrors : jpeg_error_mgr {
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX] = {};
};

[[noreturn]] void on_error(j_common_ptr codec) {
  auto* errors = static_cast<JpegErrors*>(codec->err);
  errors->format_message(codec, errors->text);
  std::longjmp(errors->jump, 1);
}

/// Warnings say that the data are damaged and that what follows is guessed; these two are harmless.
void on_message(j_common_ptr codec, int level) {
  const int code = codec->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR)
    on_error(codec);
}

void on_output(j_common_ptr) {}  // the default prints

void on_progress(j_common_ptr codec) {
  const auto* decoder = reinterpret_cast<j_decompress_ptr>(codec);
  if (decoder->input_scan_number <= kMaxScans) return;
  auto* errors = static_cast<JpegErrors*>(codec->err);
  std::snprintf(errors->text, sizeof errors->text, "more than %d scans", kMaxScans);
  std::longjmp(errors->jump, 1);
}

void set_up(JpegErrors& errors) {
  jpeg_std_error(&errors);
  errors.error_exit = on_error;
  errors.emit_message = on_message;
  errors.output_message = on_output;
}

struct JpegReader {
  JpegReader() { set_up(errors), decoder.err = &errors; }
  ~JpegReader() { jpeg_destroy_decompress(&decoder); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  JpegErrors errors;
  jpeg_progress_mgr progress{};
  jpeg_decompress_struct decoder{};
};

struct JpegWriter {
  JpegWriter() { set_up(errors), encoder.err = &errors; }
  ~JpegWriter() {
    jpeg_destroy_compress(&encoder);
    std::free(buffer);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
  JpegErrors errors;
  jpeg_compress_struct encoder{};
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
};

bool read_header(JpegReader& reader, const char* bytes, size_t size) {
  if (setjmp(reader.errors.jump)) return false;
  jpeg_create_decompress(&reader.decoder);
  reader.progress.progress_monitor = on_progress;
  reader.decoder.progress = &reader.progress;
  jpeg_mem_src(&reader.decoder, reinterpret_cast<const unsigned char*>(bytes),
               static_cast<unsigned long>(size));
  jpeg_read_header(&reader.decoder, TRUE);
  return true;
}

/// Pillow's combination of (inverted, as Adobe stores them) CMYK values, without a colour profile.
void cmyk_to_rgb(const JSAMPLE* cmyk, uint8_t* rgb, size_t width) {
  for (size_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[c]) * light + 128;
      const int ink = ((product >> 8) + product) >> 8;
      rgb[c] = static_cast<uint8_t>(light > ink ? light - ink : 0);
    }
  }
}

bool read_rows(JpegReader& reader, uint8_t* pixels, size_t width) {
  if (setjmp(reader.errors.jump)) return false;
  auto* decoder = &reader.decoder;
  const bool cmyk = decoder->jpeg_color_space == JCS_CMYK || decoder->jpeg_color_space == JCS_YCCK;
  decoder->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(decoder);
  JSAMPARRAY four = nullptr;
  if (cmyk)
    four = decoder->mem->alloc_sarray(reinterpret_cast<j_common_ptr>(decoder), JPOOL_IMAGE,
                                      static_cast<JDIMENSION>(4 * width), 1);
  while (decoder->output_scanline < decoder->output_height) {
    JSAMPROW row = pixels + size_t{decoder->output_scanline} * width * 3;
    uint8_t* rgb = row;
    jpeg_read_scanlines(decoder, cmyk ? four : &row, 1);
    if (cmyk) cmyk_to_rgb(four[0], rgb, width);
  }
  jpeg_finish_decompress(decoder);
  return true;
}

/// A Huffman-coded block of any component takes a bit at the least, so fewer bits cannot hold the picture.
void check_compressed(const jpeg_decompress_struct& decoder, size_t bytes, const std::string& source) {
  MMADA_CHECK(!decoder.arith_code, source,
              ": found an arithmetic-coded JPEG picture, expected Huffman coding");
  uint64_t blocks = 0;
  for (int i = 0; i < decoder.num_components; ++i)
    blocks += uint64_t{decoder.comp_info[i].width_in_blocks} * decoder.comp_info[i].height_in_blocks;
  MMADA_CHECK(blocks <= 8 * uint64_t{bytes}, source, ": found ", bytes, " bytes, too few for the ", blocks,
              " blocks of this JPEG picture");
}

bool write_all(JpegWriter& writer, const Image& image, int quality) {
  if (setjmp(writer.errors.jump)) return false;
  auto* encoder = &writer.encoder;
  jpeg_create_compress(encoder);
  jpeg_mem_dest(encoder, &writer.buffer, &writer.size);
  encoder->image_width = static_cast<JDIMENSION>(image.width);
  encoder->image_height = static_cast<JDIMENSION>(image.height);
  encoder->input_components = static_cast<int>(image.channels);
  encoder->in_color_space = image.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(encoder);
  jpeg_set_quality(encoder, quality, TRUE);
  encoder->comp_info[0].h_samp_factor = encoder->comp_info[0].v_samp_factor = 1;  // no chroma subsampling
  jpeg_start_compress(encoder, TRUE);
  return true;
}

bool write_comment(JpegWriter& writer, const char* text, size_t size) {
  if (setjmp(writer.errors.jump)) return false;
  jpeg_write_marker(&writer.encoder, JPEG_COM, reinterpret_cast<const JOCTET*>(text),
                    static_cast<unsigned>(size));
  return true;
}

bool write_rows(JpegWriter& writer, const Image& image) {
  if (setjmp(writer.errors.jump)) return false;
  for (int64_t y = 0; y < image.height; ++y) {
    auto* row = const_cast<JSAMPROW>(image.row(y));  // the library's interface lacks the const; it only reads
    jpeg_write_scanlines(&writer.encoder, &row, 1);
  }
  jpeg_finish_compress(&writer.encoder);
  return true;
}

}  // namespace

namespace codec {

Image decode_jpeg(std::string_view bytes, const std::string& source, const Limits& limits) {
  JpegReader reader;
  MMADA_CHECK(read_header(reader, bytes.data(), bytes.size()), source,
              ": not a valid JPEG picture: ", printable(reader.errors.text));
  const auto& decoder = reader.decoder;
  check_size(decoder.image_width, decoder.image_height, source, limits);
  MMADA_CHECK(decoder.jpeg_color_space != JCS_UNKNOWN, source, ": found ", decoder.num_components,
              " JPEG components, expected grey, YCbCr, RGB, CMYK or YCCK");
  check_compressed(decoder, bytes.size(), source);
  Image image = allocate_rgb(decoder.image_width, decoder.image_height, source, limits);
  MMADA_CHECK(read_rows(reader, image.pixels.data(), static_cast<size_t>(image.width)), source,
              ": damaged JPEG picture: ", printable(reader.errors.text));
  return image;
}

}  // namespace codec

std::string encode_jpeg(const Image& image, int quality, const std::map<std::string, std::string>& text) {
  codec::check_encodable(image, "JPEG", JPEG_MAX_DIMENSION);
  MMADA_CHECK(quality >= 1 && quality <= 100, "JPEG: found quality ", quality, ", expected 1 to 100");
  JpegWriter writer;
  bool done = write_all(writer, image, quality);
  for (const auto& [key, value] : text) {
    const std::string comment = key + ": " + value;
    MMADA_CHECK(comment.size() <= 65533, "JPEG text ", quote(key), ": found ", comment.size(),
                " bytes, expected at most 65533");
    done = done && write_comment(writer, comment.data(), comment.size());
  }
  done = done && write_rows(writer, image);
  MMADA_CHECK(done, "JPEG: encoding failed: ", writer.errors.text);
  return std::string(reinterpret_cast<const char*>(writer.buffer), writer.size);
}

}  // namespace mmada
