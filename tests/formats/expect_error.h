// SPDX-License-Identifier: MIT
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>

#include "mmada/core/check.h"

namespace mmada::testing {

/// Runs `act`, which must throw mmada::Error with every one of `parts` in its message.
template <class Act>
void expect_error(Act&& act, std::initializer_list<std::string> parts) {
  std::string message;
  try {
    act();
  } catch (const Error& error) {
    message = error.what();
  }
  INFO("message: " << (message.empty() ? "(no mmada::Error was thrown)" : message));
  CHECK_FALSE(message.empty());
  for (const auto& part : parts) CHECK_THAT(message, Catch::Contains(part));
}

/// An empty folder of this test case's own: others run beside it, and may use the same name.
inline std::string fresh_folder(const std::string& name) {
  const std::string test = Catch::getResultCapture().getCurrentTestName();
  const std::string path =
      std::string(MMADA_TEST_TMP) + "/" + std::to_string(std::hash<std::string>()(test)) + "/" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace mmada::testing
