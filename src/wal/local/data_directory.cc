#include "wal/local/data_directory.h"

#include <charconv>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/uuid.h"
#include "bytes/buffer.h"

namespace millrace::wal::local {
namespace {

constexpr std::string_view kProduct = "millrace-data";
constexpr int kVersion = 1;
constexpr std::size_t kMaxFileSize = 4096;

template <typename Number>
bool parse_number(std::string_view text, Number& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

Result<std::string> read_small(io::FileSystem& files, const std::string& path) {
    auto file = files.open(path, io::OpenOptions{.read_only = true});
    if (!file) return fail(file.error());
    std::string text(kMaxFileSize, '\0');
    auto* data = reinterpret_cast<std::uint8_t*>(text.data());
    auto read = (*file)->read_blocking(0, {data, text.size()});
    if (!read) return fail(read.error());
    text.resize(*read);
    return text;
}

Result<> write_small(io::FileSystem& files, const std::string& path, std::string_view text) {
    auto file = files.open(path, io::OpenOptions{.create = true});
    if (!file) return fail(file.error());
    if (auto cut = (*file)->resize(0); !cut) return cut;
    if (auto written = (*file)->write_blocking(0, bytes::as_bytes(text)); !written) return written;
    return (*file)->sync_blocking();
}

Error with_context(const Error& error, const std::string& path) {
    return Error(error.code(), fmt::format("data directory {} cannot be used: {}", path, error.message()));
}

std::string encode(const DataDirectoryInfo& info) {
    return fmt::format("{} {}\ncontainers={}\njournal={}\ncreated={}\n", kProduct, kVersion, info.containers,
                       to_string(info.journal), info.created_ms);
}

Result<DataDirectoryInfo> decode(std::string_view text) {
    std::size_t line_end = text.find('\n');
    std::string_view first = text.substr(0, line_end);
    int version = 0;
    bool known = first.starts_with(kProduct) && first.size() > kProduct.size() + 1 &&
                 parse_number(first.substr(kProduct.size() + 1), version) && version > 0;
    if (!known || line_end == std::string_view::npos) return fail(Errc::kCorrupt, "it does not begin as it should");
    if (version > kVersion) {
        return fail(Errc::kNewerFormat,
                    fmt::format("the data has version {}, this program knows up to version {}", version, kVersion));
    }
    std::map<std::string_view, std::string_view> values;
    for (text.remove_prefix(line_end + 1); !text.empty();) {
        line_end = text.find('\n');
        std::string_view line = text.substr(0, line_end);
        std::size_t equals = line.find('=');
        if (line_end == std::string_view::npos || equals == std::string_view::npos) {
            return fail(Errc::kCorrupt, "a line is cut off or not of the form key=value");
        }
        values[line.substr(0, equals)] = line.substr(equals + 1);
        text.remove_prefix(line_end + 1);
    }
    DataDirectoryInfo info;
    auto journal = parse_uuid(values["journal"]);
    if (!journal || !parse_number(values["containers"], info.containers) ||
        !parse_number(values["created"], info.created_ms)) {
        return fail(Errc::kCorrupt, "a value is missing or malformed");
    }
    info.journal = *journal;
    return info;
}

}  // namespace

Result<DataDirectory> DataDirectory::open(io::FileSystem& files, const std::string& path,
                                          const DataDirectoryInfo& fresh) {
    DataDirectory directory(files, path);
    if (auto made = files.make_directories(path); !made) return fail(with_context(made.error(), path));
    if (auto locked = directory.lock(); !locked) return fail(locked.error());
    if (auto read = directory.read_version(fresh); !read) return fail(read.error());
    return directory;
}

Result<> DataDirectory::lock() {
    std::string path = path_ + "/LOCK";
    auto lock = files_->lock(path);
    if (!lock && lock.error() == Errc::kLocked) {
        auto holder = read_small(*files_, path);
        std::string_view pid = holder ? std::string_view(*holder) : std::string_view();
        pid = pid.substr(0, pid.find('\n'));
        return fail(Errc::kLocked, fmt::format("data directory {} is in use by another process (pid {})", path_,
                                               pid.empty() ? "unknown" : pid));
    }
    if (!lock) return fail(with_context(lock.error(), path_));
    lock_ = std::move(*lock);
    if (auto written = write_small(*files_, path, fmt::format("{}\n", ::getpid())); !written) {
        return fail(with_context(written.error(), path_));
    }
    return {};
}

Result<> DataDirectory::read_version(const DataDirectoryInfo& fresh) {
    std::string path = path_ + "/VERSION";
    auto there = files_->exists(path);
    if (!there) return fail(with_context(there.error(), path_));
    if (!*there) {
        made_ = true;
        info_ = fresh;
        return write_version();
    }
    auto text = read_small(*files_, path);
    if (!text) return fail(with_context(text.error(), path_));
    auto info = decode(*text);
    if (info) {
        info_ = *info;
        return {};
    }
    if (info.error() == Errc::kNewerFormat) {
        return fail(
            Errc::kNewerFormat,
            fmt::format("data directory {} was written by a newer version of the program: {}; start that version",
                        path_, info.error().message()));
    }
    return fail(Errc::kCorrupt, fmt::format("{} is damaged: {}; restore it from a copy of the data directory", path,
                                            info.error().message()));
}

Result<> DataDirectory::write_version() {
    std::string path = path_ + "/VERSION";
    Result<> result = write_small(*files_, path + ".tmp", encode(info_));
    if (result) result = files_->rename(path + ".tmp", path);
    if (result) result = files_->sync_directory(path_);
    if (!result) return fail(with_context(result.error(), path_));
    return {};
}

Result<> DataDirectory::bind_journal(const Uuid& journal) {
    if (info_.journal == journal) return {};
    if (!info_.journal.is_nil()) {
        return fail(Errc::kCorrupt,
                    fmt::format("the journal in data directory {} is {} and should be {}: its files were removed or "
                                "replaced; restore them, or move the data directory aside to start empty",
                                path_, to_string(journal), to_string(info_.journal)));
    }
    info_.journal = journal;
    return write_version();
}

}  // namespace millrace::wal::local
