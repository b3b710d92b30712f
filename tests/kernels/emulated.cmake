# SPDX-License-Identifier: MIT
# Tests that run .cu files on the emulator (kernels/simt).
include(${PROJECT_SOURCE_DIR}/kernels/simt/simt.cmake)

function(mmada_emulated_target name)  # sources, .cu files among them, of a test executable on the emulator
  set(kernels ${ARGN})
  list(FILTER kernels INCLUDE REGEX "[.]cu$")
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS -Wno-unknown-pragmas)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE mmada_simt catch_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/kernels)
endfunction()

# mmada_add_emulated_test(a_test.cpp SOURCES ...): kernels_a_test with every claim; and, outside sanitizer builds, the claims
# tagged [tiny] once more under AddressSanitizer + UndefinedBehaviorSanitizer and under ThreadSanitizer.
function(mmada_add_emulated_test source)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  if(NOT TARGET mmada_simt)
    return()
  endif()
  list(TRANSFORM ARG_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/)
  cmake_path(GET source STEM stem)
  mmada_emulated_target(kernels_${stem} ${source} ${ARG_SOURCES})
  target_link_libraries(kernels_${stem} PRIVATE mmada_options)
  catch_discover_tests(kernels_${stem} TEST_PREFIX "kernels_${stem}: " PROPERTIES LABELS emulator TIMEOUT 600)
  if(MMADA_SANITIZE)
    return()
  endif()
  foreach(sanitizers IN ITEMS address,undefined thread)
    string(REGEX REPLACE ",.*" "" short ${sanitizers})
    set(name kernels_${stem}_${short})
    mmada_emulated_target(${name} ${source} ${ARG_SOURCES})
    target_compile_options(${name} PRIVATE -O1 -g1 -fsanitize=${sanitizers} -fno-sanitize-recover=undefined
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${name} PRIVATE -fsanitize=${sanitizers})
    add_test(NAME ${name} COMMAND ${name} [tiny])
    set_tests_properties(${name} PROPERTIES LABELS emulator TIMEOUT 600)
  endforeach()
endfunction()

# mmada_add_report_test(name executable tag report): the hidden claim's run ends in a sanitizer's report that matches.
function(mmada_add_report_test name executable tag report)
  if(TARGET ${executable})
    add_test(NAME ${name} COMMAND ${executable} ${tag})
    set_tests_properties(${name} PROPERTIES LABELS emulator TIMEOUT 120 PASS_REGULAR_EXPRESSION ${report})
  endif()
endfunction()
