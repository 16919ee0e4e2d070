# The CUDA compiler, for -DGR_CUDA=ON, and gr_add_cuda_kernels(<target> <sources..>): a static library of kernels that
# includes no header of LibTorch. What ptxas says about every kernel is kept beside the objects (ptxas_log.py).
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "GR_CUDA=ON: no CUDA compiler found; set CMAKE_CUDA_COMPILER to nvcc, or configure with GR_CUDA=OFF")
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;90-virtual")  # the last for newer devices
endif()
enable_language(CUDA)
# CMake 3.25 does not know how this compiler is asked for C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(gr_add_cuda_kernels target)
  add_library(${target} STATIC ${ARGN})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_STANDARD 20 CUDA_EXTENSIONS OFF
    CUDA_COMPILER_LAUNCHER "${Python3_EXECUTABLE};${CMAKE_SOURCE_DIR}/scripts/cmake/ptxas_log.py")
  # Products and sums are not contracted, so that results have the bits that the tests on the CPU see.
  target_compile_options(${target} PRIVATE -O3 --fmad=false -lineinfo
    -Xptxas -v,-warn-spills,-warn-lmem-usage $<$<BOOL:${GR_WERROR}>:-Werror=all-warnings>)
endfunction()
