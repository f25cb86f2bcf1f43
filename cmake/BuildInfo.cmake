# cmake -DOUT=<header> -DVERSION=<x.y.z> -DSOURCE=<tree> -P BuildInfo.cmake: writes the version and `git describe` of the tree into a
# header, and touches it only when they have changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --tags OUTPUT_VARIABLE describe ERROR_QUIET
                OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
    set(describe "")
endif()
set(text "#pragma once\n\n#include <string_view>\n\nnamespace millrace::cli {\n
inline constexpr std::string_view kVersion = \"${VERSION}\";
inline constexpr std::string_view kGitDescribe = \"${describe}\";\n
}  // namespace millrace::cli\n")
if(EXISTS ${OUT})
    file(READ ${OUT} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
    file(WRITE ${OUT} "${text}")
endif()
