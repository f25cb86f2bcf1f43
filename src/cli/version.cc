#include "cli/version.h"

#include <fmt/format.h>

#include "cli/build_info.h"

namespace millrace::cli {
namespace {

std::string compiler() {
#if defined(__clang__)
    return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    return "an unknown compiler";
#endif
}

}  // namespace

std::string version_text() {
    std::string_view git = kGitDescribe;
    return fmt::format("millrace {} ({}{})", kVersion, git.empty() ? "" : fmt::format("git {}, ", git), compiler());
}

node::BuildInfo build_info() { return {std::string(kVersion), std::string(kGitDescribe), compiler()}; }

}  // namespace millrace::cli
