# The CUDA compiler, where it is wanted. Sets SHARDLORA_CUDA. AUTO: if there is one, and an NVIDIA driver that could run
# what it makes (under WSL it is /dev/dxg that shows one): kernels are half of the program's compile time. ON: an error if
# there is none.
set(SHARDLORA_CUDA OFF)
if(WITH_CUDA STREQUAL "AUTO" AND NOT EXISTS /dev/nvidiactl AND NOT EXISTS /proc/driver/nvidia/version AND NOT EXISTS /dev/dxg)
  message(STATUS "No NVIDIA driver: no GPU backend; -DWITH_CUDA=ON builds it all the same")
elseif(NOT WITH_CUDA STREQUAL "OFF")
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME /usr/local/cuda $ENV{HOME}/.cache/shardlora/cuda-13.0/nvidia/cu13
                 PATH_SUFFIXES bin)
    if(NVCC)
      set(CMAKE_CUDA_COMPILER ${NVCC})
    endif()
  endif()
  if(CMAKE_CUDA_COMPILER)
    # Turing, Ampere (its code also runs on 8.6 and 8.9, Ada), Hopper and Blackwell; of PTX a driver makes what other
    # cards need, at the first start. bf16 needs 80. The one list, a bundle's too.
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
      set(generations 75-real 80-real 90)
      if(known MATCHES "sm_120")  # from CUDA 12.8 on
        list(APPEND generations 120-real)
      endif()
      set(CMAKE_CUDA_ARCHITECTURES "${generations}" CACHE STRING "GPU generations to compile kernels for")
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1 knows of none
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(CMAKE_CUDA_STANDARD 20)  # after the compiler is known: the test of it must not ask for more than it says it has
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    find_package(CUDAToolkit REQUIRED)
    set(SHARDLORA_CUDA ON)
  elseif(WITH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "WITH_CUDA=ON, but there is no CUDA compiler: install the CUDA toolkit, or run "
                        "scripts/get_cuda and configure with -DCMAKE_CUDA_COMPILER=$(scripts/get_cuda)")
  endif()
endif()
message(STATUS "CUDA backend: ${SHARDLORA_CUDA} ${CMAKE_CUDA_COMPILER}")

# The GPU backend of a program: exactly one of these is linked into each. Objects, not archives: comm and backend call
# what they define.
#   shardlora_no_gpu    explains that this build has none
#   shardlora_cuda      the real one, where there is a CUDA compiler
#   shardlora_emulated_gpu (tests/emulation)    the same sources on the host emulation
file(GLOB SHARDLORA_GPU_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cuda/*.cpp
     ${PROJECT_SOURCE_DIR}/src/comm/nccl/*.cpp)
file(GLOB SHARDLORA_KERNELS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cuda/*.cu)

function(shardlora_gpu_backends)
  file(GLOB none CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*/no_gpu/*.cpp)
  add_library(shardlora_no_gpu OBJECT ${none})
  target_link_libraries(shardlora_no_gpu PUBLIC shardlora_comm)
  if(NOT SHARDLORA_CUDA)
    add_library(shardlora_gpu ALIAS shardlora_no_gpu)
    return()
  endif()
  # nvcc hands its own view of fmt to the host compiler, which then misses constexpr on some of it.
  add_library(shardlora_kernels OBJECT ${SHARDLORA_KERNELS})
  set_target_properties(shardlora_kernels PROPERTIES UNITY_BUILD OFF)  # nvcc spends its time on kernels, not on headers
  target_include_directories(shardlora_kernels PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(shardlora_kernels PRIVATE --expt-relaxed-constexpr -diag-suppress 554 -DFMT_USE_CONSTEXPR=1
                         -Xcompiler -Wall,-Wextra,-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
  # Drivers older than CUDA 13's, which serve programs of an older compiler too, cannot read this.
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    target_compile_options(shardlora_kernels PRIVATE --compress-mode=size)
  endif()
  add_library(shardlora_cuda OBJECT ${SHARDLORA_GPU_SOURCES})
  target_link_libraries(shardlora_cuda PUBLIC shardlora_comm shardlora_kernels CUDA::cudart_static)
  target_sources(shardlora_cuda INTERFACE $<TARGET_OBJECTS:shardlora_kernels>)
  add_library(shardlora_gpu ALIAS shardlora_cuda)
endfunction()
