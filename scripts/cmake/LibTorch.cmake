# Imported targets for the pinned LibTorch: gr_torch (headers, libtorch_cpu, libc10) and gr_openmp.
# find_package(Torch) is not used: the wheel's own package insists on a CUDA toolkit.
if(NOT GR_LIBTORCH)
  file(GLOB GR_LIBTORCH_FOUND ${CMAKE_SOURCE_DIR}/.libtorch/lib/python3*/site-packages/torch)
  if(NOT GR_LIBTORCH_FOUND)
    message(FATAL_ERROR "LibTorch not found: run scripts/build.sh, or pass -DGR_LIBTORCH=<folder with include/ and lib/>")
  endif()
  list(GET GR_LIBTORCH_FOUND 0 GR_LIBTORCH)
endif()

set(GR_LIBTORCH_VERSION 2.14.1)
file(STRINGS "${GR_LIBTORCH}/include/torch/headeronly/version.h" GR_LIBTORCH_NUMBERS
  REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "#define TORCH_VERSION_[A-Z]+ " "" GR_LIBTORCH_NUMBERS "${GR_LIBTORCH_NUMBERS}")
string(REPLACE ";" "." GR_LIBTORCH_NUMBERS "${GR_LIBTORCH_NUMBERS}")
if(NOT GR_LIBTORCH_NUMBERS STREQUAL GR_LIBTORCH_VERSION)
  message(FATAL_ERROR "LibTorch ${GR_LIBTORCH_VERSION} is needed, ${GR_LIBTORCH} has '${GR_LIBTORCH_NUMBERS}'")
endif()
message(STATUS "LibTorch ${GR_LIBTORCH_VERSION}: ${GR_LIBTORCH}")

foreach(library torch_cpu c10)
  add_library(${library} SHARED IMPORTED GLOBAL)
  set_target_properties(${library} PROPERTIES
    IMPORTED_LOCATION "${GR_LIBTORCH}/lib/lib${library}.so" IMPORTED_SONAME lib${library}.so)
endforeach()
add_library(gr_torch INTERFACE)
target_include_directories(gr_torch SYSTEM INTERFACE
  "${GR_LIBTORCH}/include" "${GR_LIBTORCH}/include/torch/csrc/api/include")
target_compile_definitions(gr_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(gr_torch INTERFACE -Wl,--no-as-needed torch_cpu -Wl,--as-needed c10)

# One OpenMP runtime per process: compile with -fopenmp, link the wheel's own libgomp instead of the compiler's.
add_library(gr_gomp SHARED IMPORTED GLOBAL)
set_target_properties(gr_gomp PROPERTIES
  IMPORTED_LOCATION "${GR_LIBTORCH}/lib/libgomp.so.1" IMPORTED_SONAME libgomp.so.1)
add_library(gr_openmp INTERFACE)
target_compile_options(gr_openmp INTERFACE -fopenmp)
target_link_libraries(gr_openmp INTERFACE gr_gomp)
