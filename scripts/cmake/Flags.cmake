# gr_flags: warnings and sanitizers for every own target. gr_pch: the precompiled torch.h that executables and
# static libraries share with gr_use_pch(); shared libraries (position-independent code) cannot reuse it.
add_library(gr_flags INTERFACE)
target_include_directories(gr_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(gr_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-psabi)
if(GR_WERROR)
  target_compile_options(gr_flags INTERFACE -Werror)
endif()
if(GR_SANITIZE)
  target_compile_options(gr_flags INTERFACE -fsanitize=${GR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(gr_flags INTERFACE -fsanitize=${GR_SANITIZE})
  # With the checks inserted GCC takes members of the standard library's own objects for uninitialised.
  target_compile_options(gr_flags INTERFACE -Wno-maybe-uninitialized)
endif()

# LibTorch's headers need more than a gigabyte of the compiler's memory: to look for garbage in it as often as GCC does
# by itself costs an eighth of the time.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(gr_flags INTERFACE "SHELL:--param ggc-min-heapsize=2000000")
endif()

file(WRITE ${CMAKE_BINARY_DIR}/gr_pch.cpp.in "// anchor of the precompiled header\n")
configure_file(${CMAKE_BINARY_DIR}/gr_pch.cpp.in ${CMAKE_BINARY_DIR}/gr_pch.cpp COPYONLY)
add_library(gr_pch OBJECT ${CMAKE_BINARY_DIR}/gr_pch.cpp)
target_link_libraries(gr_pch PRIVATE gr_flags gr_torch gr_openmp)
target_compile_options(gr_pch PRIVATE -fpch-preprocess)
target_precompile_headers(gr_pch PRIVATE <torch/torch.h>)

# Sources of a room are compiled in groups of eight: reading the headers costs far more than the sources themselves.
function(gr_group_sources target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
endfunction()

function(gr_use_pch target)
  target_compile_options(${target} PRIVATE -fpch-preprocess)
  target_precompile_headers(${target} REUSE_FROM gr_pch)
  gr_group_sources(${target})
endfunction()
