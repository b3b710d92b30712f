// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"

namespace mmada::bpe {
namespace {

constexpr size_t kMaxPatternBytes = 16384;
// Steps of one match. Almost every match needs few; those that need many (a group repeated along a long run)
// are allowed one per kBytesPerLongMatch of the whole text, so that the work on it is bounded by its length
// whatever the patterns and the pieces they see.
constexpr uint32_t kMatchSteps = 10'000;
constexpr uint32_t kLongMatchSteps = 10'000'000;
constexpr size_t kFreeLongMatches = 16;
constexpr size_t kBytesPerLongMatch = 4096;
constexpr uint32_t kHeapLimitKib = 256 * 1024;
constexpr size_t kJitStackBytes = 64u << 20;  // the most it may grow to; pages are touched on use

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct RegexScratch::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr);
  size_t long_matches = kFreeLongMatches;  // left of what allow() gave

  State() {
    MMADA_CHECK(data != nullptr && context != nullptr, "out of memory for regular expressions");
    pcre2_set_match_limit(context, kMatchSteps);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);  // null where JIT is not supported
  }
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

RegexScratch::RegexScratch() : state_(std::make_unique<State>()) {}
RegexScratch::~RegexScratch() = default;
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch& RegexScratch::operator=(RegexScratch&&) noexcept = default;

void RegexScratch::allow(size_t text_bytes) {
  state_->long_matches = kFreeLongMatches + text_bytes / kBytesPerLongMatch;
}

struct Regex::Code {
  pcre2_code* compiled = nullptr;
  std::string where;

  ~Code() { pcre2_code_free(compiled); }
};

Regex::Regex(std::string_view pattern, const std::string& where) : code_(std::make_unique<Code>()) {
  MMADA_CHECK(pattern.size() <= kMaxPatternBytes, where, ": found a regular expression of ", pattern.size(),
              " bytes, expected at most ", kMaxPatternBytes);
  const std::string translated = translate_oniguruma(pattern, where);
  code_->where = where;
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  MMADA_CHECK(context != nullptr, where, ": out of memory for the regular expression");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_bsr(context.get(), PCRE2_BSR_UNICODE);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                  &offset, context.get());
  MMADA_CHECK(code_->compiled != nullptr, where, ": found the bad regular expression ", quote(pattern), " (",
              pcre_message(error), "), expected one that compiles");
  pcre2_jit_compile(code_->compiled,
                    PCRE2_JIT_COMPLETE);  // where there is no JIT the interpreter gives the same answers
}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

void Regex::find_all(std::string_view text, std::vector<Range>& matches, RegexScratch& scratch) const {
  matches.clear();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.state_->data);
  size_t from = 0;
  bool any = false;
  size_t last_end = 0;
  size_t& long_matches = scratch.state_->long_matches;
  const auto match_from = [&](size_t start) {
    return pcre2_match(code_->compiled, subject, text.size(), start, PCRE2_NO_UTF_CHECK, scratch.state_->data,
                       scratch.state_->context);
  };
  while (from <= text.size()) {
    int status = match_from(from);
    if (status == PCRE2_ERROR_MATCHLIMIT && long_matches > 0) {
      --long_matches;
      pcre2_set_match_limit(scratch.state_->context, kLongMatchSteps);
      status = match_from(from);
      pcre2_set_match_limit(scratch.state_->context, kMatchSteps);
    }
    if (status == PCRE2_ERROR_NOMATCH) break;
    MMADA_CHECK(status >= 0, code_->where, ": the regular expression gave up on ", text.size(),
                " bytes of text (", pcre_message(status),
                "), expected one that does not backtrack without end");
    const Range match{offsets[0], offsets[1]};
    if (match.begin == match.end && any && match.end == last_end) {
      do ++from;
      while (from < text.size() && (static_cast<uint8_t>(text[from]) & 0xc0) == 0x80);
      continue;
    }
    matches.push_back(match);
    any = true;
    last_end = from = match.end;
  }
}

}  // namespace mmada::bpe
