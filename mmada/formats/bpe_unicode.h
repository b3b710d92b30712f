// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmada::bpe {

/// The text as valid UTF-8: every maximal invalid part becomes one U+FFFD, as Python's errors="replace" and
/// Rust's from_utf8_lossy do (Unicode 3.9, "substitution of maximal subparts").
std::string to_valid_utf8(std::string_view text);
/// Bytes of the valid prefix.
size_t valid_utf8_prefix(std::string_view text);

/// The code point at text[position] of valid UTF-8; moves position behind it.
uint32_t next_codepoint(std::string_view text, size_t& position);
/// Position of the code point that ends at `end` (end > 0).
size_t previous_codepoint(std::string_view text, size_t end);
void append_codepoint(std::string& out, uint32_t codepoint);

/// Unicode property White_Space.
bool is_white_space(uint32_t codepoint);
/// Unicode category N (Nd, Nl, No).
bool is_numeric(uint32_t codepoint);
/// Appends the full lower-case mapping, without context rules (U+0130 becomes two code points).
void append_lowercase(std::string& out, uint32_t codepoint);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string normal_form(std::string_view text, NormalForm form);

/// GPT-2's byte alphabet: a printable code point for every byte, and back.
uint32_t byte_to_codepoint(uint8_t byte);
/// The byte of an alphabet code point, or -1.
int codepoint_to_byte(uint32_t codepoint);
/// Appends every byte of the text in the alphabet.
void append_byte_alphabet(std::string& out, std::string_view text);
/// The bytes a token of the alphabet stands for; a token with any other code point stands for its own bytes.
std::string alphabet_to_bytes(std::string_view token);

}  // namespace mmada::bpe
