# SPDX-License-Identifier: MIT
# How every target of the project is made: one place for the language level, the warnings and the sanitizers.

add_library(mmada_options INTERFACE)
target_compile_features(mmada_options INTERFACE cxx_std_20)
target_compile_options(mmada_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local> -Wnon-virtual-dtor -Werror>)
if(MMADA_SANITIZE)
  target_compile_options(mmada_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MMADA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # g++ 12 sees ghosts inside <regex> once it is instrumented
  target_link_options(mmada_options INTERFACE -fsanitize=${MMADA_SANITIZE})
endif()

configure_file(${PROJECT_SOURCE_DIR}/mmada/core/version.h.in ${PROJECT_BINARY_DIR}/generated/mmada/core/version.h @ONLY)

# mmada_add_library(target alias): a shared library with the alias mmada::name, includes rooted at the repository.
function(mmada_add_library target alias)
  add_library(${target} SHARED)
  add_library(mmada::${alias} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${alias} POSITION_INDEPENDENT_CODE ON
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    INSTALL_RPATH "$ORIGIN" INSTALL_RPATH_USE_LINK_PATH ON)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:mmada_options>)
  install(TARGETS ${target} EXPORT mmadaTargets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()
