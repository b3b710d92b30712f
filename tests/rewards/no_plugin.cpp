// SPDX-License-Identifier: MIT
// A shared library that is no plugin.
int no_plugin() { return 0; }
