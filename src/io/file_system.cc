// The choice between the real implementations.
#include <fstream>
#include <optional>

#include "base/log.h"
#include "io/file.h"
#include "io/thread_pool_files.h"
#include "io/uring_files.h"

namespace millrace::io {
namespace {

std::optional<int> uring_sysctl() {
    std::ifstream file("/proc/sys/kernel/io_uring_disabled");
    int value = 0;
    if (file >> value) return value;
    return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<FileSystem>> make_file_system(runtime::Executor& executor, Backend backend) {
    std::string reason = "as configured";
    if (backend != Backend::kThreads) {
        auto* loop = dynamic_cast<runtime::CoreLoop*>(&executor);
        if (loop != nullptr) {
            auto files = make_uring_file_system(*loop);
            if (files) {
                log::info("files: {}", (*files)->description());
                return std::move(*files);
            }
            reason = "io_uring is not available: " + explain_uring_refusal(files.error(), uring_sysctl());
        } else {
            reason = "io_uring needs a core loop";
        }
        if (backend == Backend::kUring) return fail(Errc::kUnsupported, reason);
    }
    auto files = make_thread_pool_file_system(executor);
    log::info("files: {} ({})", files->description(), reason);
    return files;
}

}  // namespace millrace::io
