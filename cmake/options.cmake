# Flags of our own code, and the two functions that make a target of a folder.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(shardlora_flags INTERFACE)
# -ffp-contract=off: a product and a sum round twice everywhere, so a change of inlining cannot change bits.
target_compile_options(shardlora_flags INTERFACE -Wall -Wextra -Wconversion -Werror -march=${CPU_ARCH} -ffp-contract=off
  -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
# gcc 12 sees overlaps and overruns in its own std::string (GCC bugs 105329, 105651); the sanitizer runs look for real ones.
# Where files are compiled together it takes each for a header.
# Its garbage collector begins later than it would: a tenth of the compile time.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(shardlora_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-subobject-linkage
    $<$<COMPILE_LANGUAGE:CXX>:--param=ggc-min-heapsize=600000>)
endif()
# clang, which CI builds with under the sanitizers, also warns of conversions of a sign, of `omp simd` that it does not follow at -O1
# and of libstdc++ 12's own use of what that calls deprecated.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(shardlora_flags INTERFACE -Wno-sign-conversion -Wno-pass-failed -Wno-deprecated-declarations)
endif()
target_include_directories(shardlora_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(SANITIZE)
  # Half the compile time: lines but no variables for the debugger, and no checks of what AddressSanitizer sees as well.
  target_compile_options(shardlora_flags INTERFACE -fsanitize=${SANITIZE} -fno-omit-frame-pointer -g1)
  if(SANITIZE MATCHES "address.*undefined")
    target_compile_options(shardlora_flags INTERFACE -fno-sanitize=null,object-size,vptr)
  endif()
  target_link_options(shardlora_flags INTERFACE -fsanitize=${SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")  # gcc's macros, which clang has not
    string(REGEX MATCH "address|thread" kind ${SANITIZE})
    string(TOUPPER __SANITIZE_${kind}__ macro)
    target_compile_definitions(shardlora_flags INTERFACE ${macro})
    target_compile_options(shardlora_flags INTERFACE -fno-sanitize=function)  # its mark would stand where the emulation counts no-ops
  endif()
endif()

# So many files of a folder are compiled, and looked at by scripts/lint, together: most of the time goes into headers.
# -DCMAKE_UNITY_BUILD=OFF compiles each alone, for builds that come again and again after a small change.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "Compile files of a folder together")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

# How code compiles that is not hot, tests among it: in two thirds of the time, under the sanitizers in half of it.
if(SANITIZE)
  set(SHARDLORA_COLD $<$<CONFIG:Release>:-O0>)
else()
  set(SHARDLORA_COLD $<$<CONFIG:Release>:-O1>)
endif()

# One static library per folder of src/: shardlora_folder(io LINK tensor base JSON ...)
function(shardlora_folder name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/modules/|/cuda/|/nccl/|/no_gpu/")
  if(sources)
    add_library(shardlora_${name} STATIC ${sources})
    target_link_libraries(shardlora_${name} PUBLIC shardlora_flags ${ARG_LINK})
    set_property(GLOBAL APPEND PROPERTY SHARDLORA_FOLDERS shardlora_${name})
  else()
    add_library(shardlora_${name} INTERFACE)
    target_link_libraries(shardlora_${name} INTERFACE shardlora_flags ${ARG_LINK})
  endif()
endfunction()

# One test program per folder of tests/: every .cpp in it but what tests/CMakeLists.txt compiles once for several devices.
# Links the folder of src/ of the same name and LINK. PARTS: as shardlora_gtest has them.
function(shardlora_tests name)
  cmake_parse_arguments(ARG "" "PARTS" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX
       "_gpu\\.cpp|gpu_main|train/(equivalence|table_cut|covering|failure|golden|loss_scale|half)_test")
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_tests ${sources})
  target_link_libraries(${name}_tests PRIVATE ${ARG_LINK} shardlora_no_gpu GTest::gtest_main GTest::gmock)
  target_include_directories(${name}_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name}_tests PRIVATE TEST_DATA="${TEST_DATA_DIR}")
  target_compile_options(${name}_tests PRIVATE ${SHARDLORA_COLD})
  shardlora_gtest(${name}_tests ${name} ${ARG_PARTS})
endfunction()

# A GoogleTest program is one test of ctest, or `parts` of it that may run side by side: it starts once, and what its
# suites read they read once. scripts/count_tests counts its tests by what it leaves in test-results/. The target
# gtest_programs builds all of them, and no program that only people start.
function(shardlora_gtest program label)
  if(NOT TARGET gtest_programs)
    add_custom_target(gtest_programs)
  endif()
  add_dependencies(gtest_programs ${program})
  set(parts 1)
  if(ARGC GREATER 2)
    set(parts ${ARGV2})
  endif()
  foreach(part RANGE 1 ${parts})
    set(name ${program})
    if(parts GREATER 1)
      set(name ${program}_${part})
    endif()
    math(EXPR index "${part} - 1")
    add_test(NAME ${name} COMMAND ${program} --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}.xml)
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 900 COST ${parts}
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${parts};GTEST_SHARD_INDEX=${index}")
    if(label STREQUAL "emulation")
      # A second stack for every thread of a kernel: twice the time and gigabytes.
      set_tests_properties(${name} PROPERTIES ENVIRONMENT_MODIFICATION "ASAN_OPTIONS=string_append::detect_stack_use_after_return=0")
    endif()
  endforeach()
endfunction()
