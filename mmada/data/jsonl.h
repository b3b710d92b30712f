// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mmada/data/sample.h"
#include "mmada/formats/input_file.h"

namespace mmada {

/// A file of one JSON object a line, read by line number: opening it only finds where the lines begin, so
/// that files larger than memory work. Blank lines are skipped but keep their number in messages.
class JsonLines {
 public:
  explicit JsonLines(const std::string& path);

  int64_t size() const { return static_cast<int64_t>(lines_.size()); }
  uint64_t bytes() const { return file_.size(); }
  /// "FILE:LINE" of the i-th object.
  std::string place(int64_t i) const;
  /// The i-th object; errors name the file and the line.
  Json read(int64_t i) const;

 private:
  struct Line {
    uint64_t begin = 0, end = 0;
    int64_t number = 0;
  };
  InputFile file_;
  std::vector<Line> lines_;
};

/// A user's own data: {"type": "jsonl", "path": "data.jsonl", ...} with, per line, an optional picture and a
/// text.
///
///  - "format": "text" (default): the text under "text_key" (default "text") as it stands
///              "question": a conversation of the fields "question" and "reply"
///              "messages": a conversation, the list "messages" of {"role", "content"}
///              "prompt": for reinforcement learning, "prompt" (what the user says, or a caption to draw),
///              and where there are any "answer" (a string or a number) and "metadata" (an object)
///  - "image_key" (default "image"): path of the picture, relative to the JSONL file; lines without it have
///  none
///  - "required": names of fields that no line may lack, such as ["image", "answer"]
///  - "images": false reads no pictures (text from a file that has them)
///  - "shuffle" (default true): every epoch visits each line once, in an order that depends on (seed, epoch)
///  alone
///
/// Fields that the format does not name are left to the user. The state is epoch and position; a file whose
/// number of lines or bytes changed since is refused.
std::unique_ptr<SampleSource> make_jsonl_source(const Json& options, const std::string& source_name,
                                                uint64_t seed);

/// A source's options, with a picture among what every line of each "jsonl" in it must have.
Json with_pictures_required(Json source);

}  // namespace mmada
