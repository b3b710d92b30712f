// SPDX-License-Identifier: MIT
#include "mmada/formats/bpe_normalizer.h"

#include "mmada/formats/bpe_unicode.h"

namespace mmada::bpe {
namespace {

class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void apply(std::string& text, Scratch&) const override { text = normal_form(text, form_); }

 private:
  NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  void apply(std::string& text, Scratch&) const override {
    std::string lower;
    lower.reserve(text.size());
    for (size_t at = 0; at < text.size();) append_lowercase(lower, next_codepoint(text, at));
    text = std::move(lower);
  }
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(std::string& text, Scratch&) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::string& text, Scratch& scratch) const override {
    pattern_.find_all(text, scratch.matches, scratch.regex);
    if (scratch.matches.empty()) return;
    text = replace_matches(text, scratch.matches, content_, scratch.max_bytes);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(std::string& text, Scratch&) const override {
    size_t end = text.size();
    while (right_ && end > 0) {
      const size_t last = previous_codepoint(text, end);
      size_t at = last;
      if (!is_white_space(next_codepoint(text, at))) break;
      end = last;
    }
    size_t begin = 0;
    for (size_t at = 0; left_ && at < end && is_white_space(next_codepoint(text, at)); begin = at) {
    }
    text = text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  void apply(std::string& text, Scratch& scratch) const override {
    for (const auto& part : parts_) part->apply(text, scratch);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::unique_ptr<Normalizer> make_sequence(Fields& fields, const Place& place) {
  const Json& list = fields.raw("normalizers");
  if (!list.is_array()) fields.fail("normalizers", found_text(list), "a list");
  std::vector<std::unique_ptr<Normalizer>> parts;
  for (size_t i = 0; i < list.size(); ++i)
    if (auto part = make_normalizer(list[i], place.item("normalizers", i))) parts.push_back(std::move(part));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& json, const Place& place) {
  if (json.is_null()) return nullptr;
  Fields fields(json, place.source, place.path);
  const std::string type = fields.choice(
      "type", {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "Replace", "Strip", "Sequence"});
  std::unique_ptr<Normalizer> made;
  if (type == "NFC") made = std::make_unique<UnicodeForm>(NormalForm::kNfc);
  if (type == "NFD") made = std::make_unique<UnicodeForm>(NormalForm::kNfd);
  if (type == "NFKC") made = std::make_unique<UnicodeForm>(NormalForm::kNfkc);
  if (type == "NFKD") made = std::make_unique<UnicodeForm>(NormalForm::kNfkd);
  if (type == "Lowercase") made = std::make_unique<Lowercase>();
  if (type == "Prepend") made = std::make_unique<Prepend>(fields.string("prepend"));
  if (type == "Replace") {
    Pattern pattern(fields, "pattern", place.text());
    made = std::make_unique<Replace>(std::move(pattern), fields.string("content"));
  }
  if (type == "Strip") {
    const bool left = fields.boolean("strip_left");
    made = std::make_unique<Strip>(left, fields.boolean("strip_right"));
  }
  if (type == "Sequence") made = make_sequence(fields, place);
  fields.finish();
  return made;
}

}  // namespace mmada::bpe
