# Compiler, linker, warnings, sanitizers, caches: one place for every target.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
# Unoptimised: instrumented code compiles two to three times faster than at -O1, and the tests run within minutes all the same.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")
option(MILLRACE_FUZZ "Build the libFuzzer targets" OFF)
option(MILLRACE_PCH "Precompiled headers (off: shows a file that does not include what it uses)" ON)

# One name for each language standard flag both compilers know; "-std=c++23" is "c++2b" for CMake 3.25 and clang alike.
add_compile_options(-Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-Wthread-safety "SHELL:-Xclang -fno-pch-timestamp")
else()
    # g++ 12 reports false positives of these in the standard library's own code when it inlines at -O2.
    add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict
                        -Wno-stringop-overread -Wno-dangling-pointer -Wno-mismatched-new-delete -fcoroutines)
    # With a precompiled header it no longer knows that GoogleTest's macros come from a system header.
    add_compile_options(-Wno-dangling-else)
endif()
add_compile_options(-fno-omit-frame-pointer -march=x86-64-v2 -pthread)

if(MILLRACE_SANITIZE)
    add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${MILLRACE_SANITIZE})
    add_compile_definitions(MILLRACE_SANITIZED)
endif()
if(MILLRACE_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(MILLRACE_MOLD mold)
if(MILLRACE_MOLD)
    add_link_options(-fuse-ld=mold)
endif()
find_program(MILLRACE_CCACHE ccache)
if(MILLRACE_CCACHE)
    # Build folders share the cache: the folder's name in the debug information is not worth a compilation.
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                 ${MILLRACE_CCACHE})
    set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(spdlog REQUIRED)
find_package(absl REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(ROCKSDB REQUIRED IMPORTED_TARGET rocksdb)
find_package(GTest REQUIRED)
enable_testing()
