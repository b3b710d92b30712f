// SPDX-License-Identifier: MIT
#include "mmada/diffusion/layouts.h"

#include <algorithm>

#include "mmada/core/check.h"

namespace mmada {
namespace {

void require_id(int64_t id, const char* token, const char* where) {
  MMADA_CHECK(id >= 0, where, ": found no id for ", token, " in the token layout, expected one");
}

void require_budget(int64_t budget, const char* where) {
  MMADA_CHECK(budget >= 2, where, ": found a text budget of ", budget,
              " tokens, expected at least 2 (bos and eos)");
}

void check_text(const TokenLayout& layout, const TokenIds& text, const char* where) {
  for (size_t i = 0; i < text.size(); ++i)
    MMADA_CHECK(text[i] >= 0 && text[i] < layout.vocab_size, where, ": text id ", i, ": found ", text[i],
                ", expected 0 to ", layout.vocab_size - 1);
}

void check_image(const TokenLayout& layout, const TokenIds& image_ids, const char* where) {
  const Window codes = layout.code_window();
  for (size_t i = 0; i < image_ids.size(); ++i)
    MMADA_CHECK(codes.contains(image_ids[i]) || image_ids[i] == layout.mask, where, ": image id ", i,
                ": found ", image_ids[i], ", expected a code id from ", codes.begin, " to ", codes.end - 1,
                " or the mask ", layout.mask);
}

TokenIds with_bos(const TokenLayout& layout, const TokenIds& text) {
  TokenIds ids;
  ids.reserve(text.size() + 2);
  if (text.empty() || text.front() != layout.bos) ids.push_back(layout.bos);
  ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

/// `bos text eos`; longer than `slots`: the first slots - 1 ids and eos.
TokenIds closed_text(const TokenLayout& layout, const TokenIds& text, int64_t slots) {
  TokenIds ids = with_bos(layout, text);
  if (static_cast<int64_t>(ids.size()) >= slots) ids.resize(slots - 1);
  ids.push_back(layout.eos);
  return ids;
}

/// Position after the last end-of-header id within [begin, end), or `otherwise` when there is none.
int64_t after_last_header(const TokenLayout& layout, const TokenIds& ids, Span part, int64_t otherwise) {
  if (layout.end_header < 0) return otherwise;
  for (int64_t i = part.end - 1; i >= part.begin; --i)
    if (ids[i] == layout.end_header) return i + 1;
  return otherwise;
}

void append_image(const TokenLayout& layout, const TokenIds& image_ids, Row* row) {
  row->ids.push_back(layout.soi);
  row->image.begin = static_cast<int64_t>(row->ids.size());
  row->ids.insert(row->ids.end(), image_ids.begin(), image_ids.end());
  row->image.end = static_cast<int64_t>(row->ids.size());
  row->ids.push_back(layout.eoi);
}

void append_padded_text(const TokenLayout& layout, const TokenIds& text, int64_t budget, Row* row) {
  const TokenIds closed = closed_text(layout, text, budget);
  row->text.begin = static_cast<int64_t>(row->ids.size());
  row->text.end = row->text.begin + static_cast<int64_t>(closed.size());
  row->ids.insert(row->ids.end(), closed.begin(), closed.end());
  row->ids.resize(row->text.begin + budget, layout.eos);
}

void check_image_part(const TokenLayout& layout, const TokenIds& image_ids, int64_t task,
                      const char* task_token, const char* where) {
  require_id(task, task_token, where);
  require_id(layout.soi, "<|soi|>", where);
  require_id(layout.eoi, "<|eoi|>", where);
  check_image(layout, image_ids, where);
}

/// Which positions of a conversation are supervised when every assistant turn is.
std::vector<bool> all_turns_prompt(const TokenLayout& layout, const Row& row, const TokenIds& assistant) {
  std::vector<bool> prompt(row.ids.size(), true);
  const auto begin = row.ids.begin();
  const auto text_end = begin + row.text.end;
  bool answering = false;
  int64_t last_header = 0;
  for (int64_t i = 0; i < row.text.end; ++i) {
    if (row.ids[i] == layout.start_header) {
      answering = false;
      const auto role_begin = begin + i + 1;
      const auto role_end = std::find(role_begin, text_end, layout.end_header);
      if (role_end == text_end) break;  // the cut fell inside a header: nothing follows it
      last_header = role_end - begin;
      answering = std::equal(role_begin, role_end, assistant.begin(), assistant.end());
      i = last_header;
      continue;
    }
    prompt[i] = !answering;
  }
  if (answering) std::fill(prompt.begin() + last_header + 1, prompt.end(), false);
  return prompt;
}

}  // namespace

Row t2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget) {
  require_budget(budget, "t2i row");
  check_image_part(layout, image_ids, layout.t2i, "<|t2i|>", "t2i row");
  check_text(layout, text, "t2i row");
  const TokenIds closed = closed_text(layout, text, budget);
  const int64_t pads = budget - static_cast<int64_t>(closed.size());
  if (pads > 0) require_id(layout.image_pad, "[iPAD]", "t2i row");
  Row row;
  row.ids.assign(pads, layout.image_pad);
  row.ids.push_back(layout.t2i);
  row.ids.insert(row.ids.end(), closed.begin(), closed.end());
  row.text = {pads + 1, budget + 1};
  append_image(layout, image_ids, &row);
  row.valid = {pads, static_cast<int64_t>(row.ids.size())};
  row.prompt.assign(row.ids.size(), true);
  std::fill(row.prompt.begin() + row.image.begin, row.prompt.begin() + row.image.end, false);
  return row;
}

Row t2i_uncond_row(const TokenLayout& layout, const TokenIds& image_ids, int64_t budget) {
  return t2i_row(layout, {}, image_ids, budget);
}

Row lm_row(const TokenLayout& layout, const TokenIds& text, int64_t length) {
  MMADA_CHECK(length >= 1, "lm row: found a length of ", length, " tokens, expected at least 1");
  check_text(layout, text, "lm row");
  Row row;
  row.ids = with_bos(layout, text);
  row.ids.push_back(layout.eos);
  row.text = {0, std::min<int64_t>(length, static_cast<int64_t>(row.ids.size()))};
  row.ids.resize(length, layout.eos);
  row.valid = {0, length};
  return row;
}

Row lm_chat_row(const TokenLayout& layout, const TokenIds& text, int64_t length) {
  Row row = lm_row(layout, text, length);
  const int64_t answer = after_last_header(layout, row.ids, row.text, 0);
  row.prompt.assign(length, false);
  std::fill(row.prompt.begin(), row.prompt.begin() + answer, true);
  return row;
}

Row lm_chat_row_all_turns(const TokenLayout& layout, const TokenIds& text, const TokenIds& assistant,
                          int64_t length) {
  require_id(layout.start_header, "<|start_header_id|>", "lm_chat row");
  require_id(layout.end_header, "<|end_header_id|>", "lm_chat row");
  Row row = lm_row(layout, text, length);
  if (after_last_header(layout, row.ids, row.text, 0) == 0)
    row.prompt.assign(length, false);
  else
    row.prompt = all_turns_prompt(layout, row, assistant);
  return row;
}

Row mmu_row(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& text, int64_t budget) {
  require_budget(budget, "mmu row");
  check_image_part(layout, image_ids, layout.mmu, "<|mmu|>", "mmu row");
  check_text(layout, text, "mmu row");
  Row row;
  row.ids.push_back(layout.mmu);
  append_image(layout, image_ids, &row);
  append_padded_text(layout, text, budget, &row);
  row.valid = {0, static_cast<int64_t>(row.ids.size())};
  const int64_t answer = after_last_header(layout, row.ids, row.text, row.text.begin);
  row.prompt.assign(row.ids.size(), false);
  std::fill(row.prompt.begin(), row.prompt.begin() + answer, true);
  return row;
}

Row r2i_row(const TokenLayout& layout, const TokenIds& text, const TokenIds& image_ids, int64_t budget) {
  require_budget(budget, "r2i row");
  check_image_part(layout, image_ids, layout.r2i, "<|r2i|>", "r2i row");
  check_text(layout, text, "r2i row");
  Row row;
  row.ids.push_back(layout.r2i);
  append_padded_text(layout, text, budget, &row);
  const int64_t text_slots_end = static_cast<int64_t>(row.ids.size());
  append_image(layout, image_ids, &row);
  row.valid = {0, static_cast<int64_t>(row.ids.size())};
  const int64_t answer = after_last_header(layout, row.ids, row.text, text_slots_end);
  row.prompt.assign(row.ids.size(), true);
  std::fill(row.prompt.begin() + answer, row.prompt.begin() + text_slots_end, false);
  std::fill(row.prompt.begin() + row.image.begin, row.prompt.begin() + row.image.end, false);
  return row;
}

Row without_padding(Row row, int64_t tail) {
  const bool before_image = row.image.begin > row.text.end;
  const int64_t padding_end = before_image ? row.image.begin - 1 : static_cast<int64_t>(row.ids.size());
  const int64_t cut = padding_end - row.text.end - tail;
  if (tail < 0 || cut <= 0) return row;
  const int64_t begin = row.text.end + tail;
  row.ids.erase(row.ids.begin() + begin, row.ids.begin() + padding_end);
  if (!row.prompt.empty()) row.prompt.erase(row.prompt.begin() + begin, row.prompt.begin() + padding_end);
  if (before_image) row.image = {row.image.begin - cut, row.image.end - cut};
  row.valid.end -= cut;
  return row;
}

TokenIds mmu_prompt(const TokenLayout& layout, const TokenIds& image_ids, const TokenIds& chat) {
  check_image_part(layout, image_ids, layout.mmu, "<|mmu|>", "mmu prompt");
  check_text(layout, chat, "mmu prompt");
  Row row;
  row.ids.push_back(layout.mmu);
  append_image(layout, image_ids, &row);
  row.ids.insert(row.ids.end(), chat.begin(), chat.end());
  return row.ids;
}

TokenIds lm_prompt(const TokenLayout& layout, const TokenIds& chat) {
  check_text(layout, chat, "lm prompt");
  return with_bos(layout, chat);
}

TokenIds masked_image(const TokenLayout& layout, int64_t tokens) { return TokenIds(tokens, layout.mask); }

}  // namespace mmada
