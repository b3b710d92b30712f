// SPDX-License-Identifier: MIT
// `mmada completion SHELL`: a completion script made of the program's own verbs and flags.
#include <cstdio>
#include <string>
#include <vector>

#include "mmada/cli/verb.h"

namespace mmada::cli {
namespace {

struct Word {
  std::string text, help;
};

/// The words that may follow one chain of verbs, such as "mmada tokenize image".
struct Level {
  std::string path;
  std::vector<std::string> verbs;  ///< without the program's name
  std::vector<Word> subcommands, flags;
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void collect_flags(const CLI::App& app, Level& level) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      level.flags.push_back({"--" + name, first_line(option->get_description())});
    for (const std::string& name : option->get_snames())
      level.flags.push_back({"-" + name, first_line(option->get_description())});
  }
}

void collect(const CLI::App& app, Level level, std::vector<Level>& levels) {
  std::vector<const CLI::App*> verbs;
  collect_flags(app, level);
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (child->get_name().empty()) {  // an option group
      collect_flags(*child, level);
      continue;
    }
    level.subcommands.push_back({child->get_name(), first_line(child->get_description())});
    verbs.push_back(child);
  }
  levels.push_back(level);
  for (const CLI::App* child : verbs) {
    Level below{
        .path = level.path + " " + child->get_name(), .verbs = level.verbs, .subcommands = {}, .flags = {}};
    below.verbs.push_back(child->get_name());
    collect(*child, below, levels);
  }
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// In single quotes, for all three shells.
std::string in_quotes(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

/// The loop that finds out which verbs stand before the cursor, in the syntax that bash and zsh share.
void print_path(const std::vector<Level>& levels) {
  std::string known;
  for (const Level& level : levels)
    if (!level.verbs.empty()) known += (known.empty() ? "" : "|") + in_quotes(level.path);
  std::printf("    case \"$level $word\" in %s) level=\"$level $word\" ;; esac\n  done\n", known.c_str());
}

void print_bash(const std::vector<Level>& levels) {
  std::printf(
      "_mmada() {\n  local level=mmada word words= current=${COMP_WORDS[COMP_CWORD]}\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n");
  print_path(levels);
  std::printf("  case $level in\n");
  for (const Level& level : levels) {
    std::printf("    %s) words='", in_quotes(level.path).c_str());
    for (const Word& word : level.subcommands) std::printf("%s ", word.text.c_str());
    for (const Word& word : level.flags) std::printf("%s ", word.text.c_str());
    std::printf("' ;;\n");
  }
  std::printf(
      "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n"
      "complete -o default -F _mmada mmada\n");  // default: file names where no word fits
}

void print_zsh(const std::vector<Level>& levels) {
  std::printf(
      "#compdef mmada\n_mmada() {\n  local level=mmada word\n  local -a verbs flags\n"
      "  for word in ${words[2,CURRENT-1]}; do\n");
  print_path(levels);
  std::printf("  case $level in\n");
  const auto list = [](const char* name, const std::vector<Word>& words) {
    std::printf("      %s=(\n", name);
    for (const Word& word : words)
      std::printf("        %s\n", in_quotes(word.text + ":" + replaced(word.help, ":", "\\:")).c_str());
    std::printf("      )\n");
  };
  for (const Level& level : levels) {
    std::printf("    %s)\n", in_quotes(level.path).c_str());
    list("verbs", level.subcommands);
    list("flags", level.flags);
    std::printf("      ;;\n");
  }
  std::printf(
      "  esac\n  if [[ $PREFIX == -* ]]; then _describe flag flags\n"
      "  elif (( $#verbs )); then _describe verb verbs\n  else _files\n  fi\n}\ncompdef _mmada mmada\n");
}

void print_fish(const std::vector<Level>& levels) {
  for (const Level& level : levels) {
    std::string condition;
    for (const std::string& verb : level.verbs)
      condition += (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + verb);
    if (!level.subcommands.empty()) {
      std::string below;
      for (const Word& word : level.subcommands) below += " " + word.text;
      condition += (condition.empty() ? "" : "; and ") + ("not __fish_seen_subcommand_from" + below);
    }
    const std::string start = "complete -c mmada -n " + in_quotes(condition);
    for (const Word& word : level.subcommands)
      std::printf("%s -f -a %s -d %s\n", start.c_str(), word.text.c_str(), in_quotes(word.help).c_str());
    for (const Word& word : level.flags) {
      const bool is_long = word.text.starts_with("--");
      std::printf("%s -%c %s -d %s\n", start.c_str(), is_long ? 'l' : 's',
                  word.text.substr(is_long ? 2 : 1).c_str(), in_quotes(word.help).c_str());
    }
  }
}

}  // namespace

void add_completion(CLI::App& app) {
  auto* verb = app.add_subcommand("completion", "Print a completion script for a shell");
  verb->require_subcommand(1);
  const auto add = [&](const char* shell, const char* help, void (*print)(const std::vector<Level>&)) {
    verb->add_subcommand(shell, help)->callback([&app, print] {
      std::vector<Level> levels;
      collect(app, {.path = "mmada", .verbs = {}, .subcommands = {}, .flags = {}}, levels);
      print(levels);
    });
  };
  add("bash", "source <(mmada completion bash)", print_bash);
  add("zsh", "source <(mmada completion zsh), after compinit", print_zsh);
  add("fish", "mmada completion fish | source", print_fish);
}

}  // namespace mmada::cli
