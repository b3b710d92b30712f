# SPDX-License-Identifier: MIT
# The installed package: headers, libraries, find_package(mmada CONFIG) and pkg-config.
include(CMakePackageConfigHelpers)

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mmada)
install(DIRECTORY mmada kernels DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE PATTERN "worker" EXCLUDE PATTERN "plot" EXCLUDE PATTERN "published" EXCLUDE PATTERN "simt" EXCLUDE)
install(FILES ${PROJECT_BINARY_DIR}/generated/mmada/core/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mmada/core)
install(EXPORT mmadaTargets NAMESPACE mmada:: DESTINATION ${_package_dir})
install(EXPORT mmadaRewardPluginTargets NAMESPACE mmada:: DESTINATION ${_package_dir})

configure_package_config_file(cmake/mmadaConfig.cmake.in ${PROJECT_BINARY_DIR}/mmadaConfig.cmake
  INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mmadaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mmadaConfig.cmake ${PROJECT_BINARY_DIR}/mmadaConfigVersion.cmake
  third_party/cmake/FindLibtorchCpu.cmake DESTINATION ${_package_dir})

configure_file(cmake/mmada.pc.in ${PROJECT_BINARY_DIR}/mmada.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mmada.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
