# Uses ccache when it is installed; the sloppiness settings let it cache targets with precompiled headers.
find_program(GR_CCACHE ccache)
if(GR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${GR_CCACHE})
endif()
