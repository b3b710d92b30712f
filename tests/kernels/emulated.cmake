# SPDX-License-Identifier: MIT
# Tests that run .cu files on the emulator (kernels/simt).
include(${PROJECT_SOURCE_DIR}/kernels/simt/simt.cmake)

function(mmada_kernels_as_cxx)  # the .cu files among the sources are C++ in this folder
  set(kernels ${ARGN})
  list(FILTER kernels INCLUDE REGEX "[.]cu$")
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-Wno-unknown-pragmas;-fno-strict-aliasing")
endfunction()

function(mmada_emulated_target name)  # sources, .cu files among them, of a test executable on the emulator
  mmada_kernels_as_cxx(${ARGN})
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE mmada_simt kernels_platform catch_main)
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

# Objects that several emulated executables share.
function(mmada_emulated_objects name)
  set(sources)
  foreach(source IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE path)
    if(NOT EXISTS ${path})
      set(path ${CMAKE_CURRENT_SOURCE_DIR}/${source})
    endif()
    list(APPEND sources ${path})
  endforeach()
  mmada_kernels_as_cxx(${sources})
  add_library(${name} OBJECT ${sources})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/kernels)
  target_link_libraries(${name} PUBLIC mmada_simt catch_main)
  target_compile_options(${name} PRIVATE -O1)
endfunction()

# mmada_add_mutant(name OBJECTS libraries KERNELS a.cu ... FILE f FROM text TO text): the kernels with one mistake put into f, one of
# them or a header they include (the only place there that reads FROM); the claims in the libraries tagged [tiny] have to fail.
# Of a header mutant every user has to be among KERNELS: the linker keeps one of equal inline functions.
function(mmada_add_mutant name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "FILE;FROM;TO" "KERNELS;OBJECTS")
  if(NOT TARGET mmada_simt)
    return()
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/mutants/${name})
  file(READ ${PROJECT_SOURCE_DIR}/${ARG_FILE} text)
  string(FIND "${text}" "${ARG_FROM}" first)
  string(FIND "${text}" "${ARG_FROM}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "mutant ${name}: ${ARG_FILE} does not hold exactly one \"${ARG_FROM}\"")
  endif()
  string(REPLACE "${ARG_FROM}" "${ARG_TO}" text "${text}")
  set(kernels)
  foreach(kernel IN LISTS ARG_KERNELS)
    list(APPEND kernels ${folder}/${kernel})
    if(NOT kernel STREQUAL ARG_FILE)
      configure_file(${PROJECT_SOURCE_DIR}/${kernel} ${folder}/${kernel} COPYONLY)
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/${ARG_FILE} CONTENT "${text}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${ARG_FILE})
  mmada_kernels_as_cxx(${kernels})
  add_executable(kernels_mutant_${name} ${kernels})
  target_include_directories(kernels_mutant_${name} BEFORE PRIVATE ${folder})
  target_compile_options(kernels_mutant_${name} PRIVATE -O1)
  target_link_libraries(kernels_mutant_${name} PRIVATE ${ARG_OBJECTS} mmada_simt kernels_platform catch_main)  # objects do not pass on objects
  add_test(NAME "kernels: a mutant is caught: ${name}" COMMAND kernels_mutant_${name} [tiny])
  set_tests_properties("kernels: a mutant is caught: ${name}" PROPERTIES LABELS emulator TIMEOUT 300
    PASS_REGULAR_EXPRESSION "[0-9]+ failed")
endfunction()
