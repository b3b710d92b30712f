# SPDX-License-Identifier: MIT
"""What the mutation gate does not expect of the fuzzers: the checks that no target reaches, and for each parser the checks
whose deletion changes nothing that its target can see, with the reason. A key is a part of the check's text."""

# Checks of what our own code hands in (writers, names of outputs): tests/formats has their tests.
NOT_READING = [
    "encoding failed", "found quality", "JPEG text", "PNG text", "the encoder cannot be started", "channels, expected 1 or 3",
    "bytes of pixels, expected", "image.width >= 1", "is_directory(folder", "UsageError",
    "is_directory(directory", "is_file(path)", "pickle.empty()", "found no weights",  # files around an index, not its text
    "number of the tensor", "file != nullptr", "std::ferror", "larger than",          # opening and reading JSON files
]

REDUNDANT = {
    "safetensors": {
        'unexpected("binary")': "JSON text holds no binary values",
        "(value > static_cast<uint64_t>(INT64_MAX))": "becomes a negative dimension, which has no size",
        "limits.safetensors_string_bytes": "bounds the lexer's memory; a name too long is seen, a metadata value is allowed any length",
        "file.size() >= kLengthBytes": "the read that follows fails on a shorter file",
        "header_bytes <= limits.safetensors_header_bytes": "the header's parser checks its length again",
        "header_bytes <= file.size() - kLengthBytes": "the read that follows fails; the check saves the allocation",
        "MMADA_CHECK(within": "guards callers that pass the entry of another file",
        "json.size() <= limits.safetensors_header_bytes": "the file's reader has compared the length before",
        "entry.end <= data_bytes": "with contiguous data the total is compared with the file's below",
        "entry.begin >= covered": "the check for holes refuses it too, with less to say",
        "entry.begin <= entry.end": "a size below zero equals no shape's bytes",
    },
    "json": {
        "limits.max_bytes": "inputs of this target are no longer than its limit",
        "std::isfinite(value)": "the library refuses such numbers before",
        "does not fit in 64 bits": "becomes a number that no integer field takes",
        "object.is_object()": "a value without fields has none of those that are asked for",
        "++values_ <= kMaxResolvedValues": "a doubling needs twenty references in a row: tests/core/config_test.cpp has them",
        "result.size() <= kMaxResolvedText": "a doubling needs twenty references in a row: tests/core/config_test.cpp has them",
        "close != std::string::npos": "an open reference names nothing, or its text grows to the limit",
        "!value.is_structured()": "a list would be written into the text",
    },
    "png": {
        "the PNG decoder cannot be started": "fails only without memory",
        "found >= rows / 1032": "bounds time and memory: tests/formats/image_bombs_test.py",
        "feed(reader) && reader.packed_rows > 0": "a picture without a header has no size, which is refused next",
        "reader.complete && reader.ended": "what is missing stays black: every prefix is tried in tests/formats/image_file_test.cpp",
    },
    "jpeg": {
        "!decoder.arith_code": "bounds what few bytes can hold: tests/formats/image_bombs_test.py",
        "blocks <= 8": "bounds time and memory: tests/formats/image_bombs_test.py",
        "read_header(reader": "a picture without a header has no size, which is refused next",
        "JCS_UNKNOWN": "libjpeg refuses to make RGB of them",
        "read_rows(reader": "what is missing stays black: every prefix is tried in tests/formats/image_file_test.cpp",
    },
    "webp": {
        "limits.image_file_bytes": "inputs of this target are smaller",
        "WebPInitDecoderConfig": "fails only where header and library differ",
        "not a valid WebP picture": "a picture without features has no size, which is refused next",
        "has_animation": "libwebp refuses to decode an animation",
        "damaged WebP picture": "what is missing stays black: every prefix is tried in tests/formats/image_file_test.cpp",
    },
    "tar": {
        "found no locale C.UTF-8": "fails only on a system without it",
        "no memory for reading": "fails only without memory",
        "archive_read_open1": "fails only without memory: bytes are looked at by the first header",
        "!failure.empty()": "bytes in memory can always be read: tests/formats/tar_reader_test.cpp has files",
        "found an empty file": "the target reads from memory",
        "found no bytes": "no bytes hold no end mark",
    },
    "tokenizer": {
        "kMaxTextBytes": "the texts of this target are short",
        "ids[i] >= 0 && ids[i] < size()": "guards callers: the target decodes ids that it was given",
        'fail("dropout"': "would be ignored",
        'fail("continuing_subword_prefix"': "would be ignored",
        'fail("end_of_word_suffix"': "bounds time: a long mark is looked up with every word",
        'fail("unk_token"': "unknown characters would vanish",
        "expected an object of tokens and ids": "a list reads as tokens named by their numbers",
        "expected a list of merges": "null reads as none",
        "expected two tokens with one space between": "the parts are looked up below",
        'expected \\"a b\\" or': "the empty parts are looked up below",
        "expected every merge once": "the first one counts",
        'fail("content", "an empty string"': "refused below, where nothing is left of a token",
        "!spelling.empty()": "a token that can never occur",
        "expected every added token once": "ids are compared when they are named",
        "kMaxAddedTokenBytes": "bounds time",
        "data != nullptr": "fails only without memory",
        "context != nullptr": "fails only without memory",
        "kMaxPatternBytes": "bounds time; inputs of this target are shorter",
        "Unicode normalization failed": "cannot happen with valid UTF-8",
        'fail("decoders", "null"': "reads as the decoder that joins by spaces",
        'fail("content", quote(content)': "strips a longer text",
    },
}
