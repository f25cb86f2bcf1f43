# A room is one folder below src/ and one library target millrace_<name>; its tests, fuzzers and micro benchmarks lie beside
# the code. `USES` names rooms, `LINKS` outside libraries.
#
#   room(wal SOURCES a.cc b.cc USES base io LINKS PkgConfig::URING)
#   room_test(wal journal_test SOURCES journal_test.cc)          one test program, run by ctest; ONE_THREAD: the thread
#                                                                sanitizer would find nothing in it
#   room_fuzz(wire frame_fuzz SOURCES frame_fuzz.cc CORPUS dir)  only in the fuzz preset; CORPUS: seeds, in this folder. What
#                                                                it finds goes into the build folder, the seeds stay as they are

# Two precompiled headers, one for rooms and one for tests. The definitions must be those of the targets that use them.
if(MILLRACE_PCH)
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cc CONTENT "")
    add_library(millrace_pch STATIC ${CMAKE_BINARY_DIR}/precompiled.cc)
    target_link_libraries(millrace_pch PUBLIC fmt::fmt spdlog::spdlog Boost::headers absl::flat_hash_map)
    target_precompile_headers(millrace_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
    add_library(millrace_test_pch STATIC ${CMAKE_BINARY_DIR}/precompiled.cc)
    target_link_libraries(millrace_test_pch PUBLIC fmt::fmt spdlog::spdlog Boost::headers absl::flat_hash_map GTest::gmock)
    target_include_directories(millrace_test_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake)
    target_compile_options(millrace_test_pch PRIVATE -O0)
    target_precompile_headers(millrace_test_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled_test.h)
endif()

function(precompiled target from)
    if(MILLRACE_PCH)
        target_precompile_headers(${target} REUSE_FROM ${from})
    endif()
endfunction()

function(room name)
    cmake_parse_arguments(arg "" "" "SOURCES;USES;LINKS" ${ARGN})
    add_library(millrace_${name} STATIC ${arg_SOURCES})
    target_include_directories(millrace_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    foreach(other ${arg_USES})
        target_link_libraries(millrace_${name} PUBLIC millrace_${other})
    endforeach()
    target_link_libraries(millrace_${name} PUBLIC ${arg_LINKS})
    precompiled(millrace_${name} millrace_pch)
endfunction()

function(room_test name test)
    cmake_parse_arguments(arg "ONE_THREAD" "TIMEOUT" "SOURCES;USES;LINKS;ARGS" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    add_executable(${test} ${arg_SOURCES})
    target_link_libraries(${test} PRIVATE millrace_${name} GTest::gmock GTest::gtest GTest::gtest_main ${arg_LINKS})
    foreach(other ${arg_USES})
        target_link_libraries(${test} PRIVATE millrace_${other})
    endforeach()
    # Tests are compiled for speed of compilation; what they test is compiled as the preset says.
    target_compile_options(${test} PRIVATE -Wno-shadow -O0)
    precompiled(${test} millrace_test_pch)
    add_test(NAME ${test} COMMAND ${test} ${arg_ARGS})
    set_tests_properties(${test} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "unit;${name}$<$<BOOL:${arg_ONE_THREAD}>:;one-thread>")
endfunction()

function(room_fuzz name fuzz)
    if(NOT MILLRACE_FUZZ)
        return()
    endif()
    cmake_parse_arguments(arg "" "CORPUS" "SOURCES;USES;LINKS" ${ARGN})
    add_executable(${fuzz} ${arg_SOURCES})
    target_link_libraries(${fuzz} PRIVATE millrace_${name} -fsanitize=fuzzer ${arg_LINKS})
    foreach(other ${arg_USES})
        target_link_libraries(${fuzz} PRIVATE millrace_${other})
    endforeach()
    set(found ${CMAKE_CURRENT_BINARY_DIR}/${fuzz}_corpus)
    file(MAKE_DIRECTORY ${found})
    list(TRANSFORM arg_CORPUS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    add_test(NAME ${fuzz} COMMAND ${fuzz} -max_total_time=20 -timeout=10 -rss_limit_mb=2048 ${found} ${arg_CORPUS})
    set_tests_properties(${fuzz} PROPERTIES LABELS "fuzz;${name}")
endfunction()
