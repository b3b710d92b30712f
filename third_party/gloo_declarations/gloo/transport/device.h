// SPDX-License-Identifier: MIT
#pragma once
namespace gloo::transport {
class Device;
class UnboundBuffer {  // c10d's inline code holds pointers to it
 public:
  virtual ~UnboundBuffer() = 0;
};
}  // namespace gloo::transport
