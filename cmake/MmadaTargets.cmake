# SPDX-License-Identifier: MIT
# How every target of the project is made: one place for the language level, the warnings and the sanitizers.

add_library(mmada_options INTERFACE)
target_compile_features(mmada_options INTERFACE cxx_std_20)
target_compile_options(mmada_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow=local -Wnon-virtual-dtor -Werror>)
if(MMADA_SANITIZE)
  target_compile_options(mmada_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MMADA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined>)
  target_link_options(mmada_options INTERFACE -fsanitize=${MMADA_SANITIZE})
endif()

# mmada_add_library(name): a shared library with the alias mmada::name, includes rooted at the repository.
function(mmada_add_library target alias)
  add_library(${target} SHARED)
  add_library(mmada::${alias} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${alias} POSITION_INDEPENDENT_CODE ON
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    BUILD_RPATH_USE_ORIGIN ON INSTALL_RPATH "$ORIGIN")
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:mmada_options>)
  install(TARGETS ${target} EXPORT mmadaTargets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()
