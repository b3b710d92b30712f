# SPDX-License-Identifier: MIT
# Installed package: headers, libraries and mmadaConfig.cmake for find_package(mmada CONFIG).
