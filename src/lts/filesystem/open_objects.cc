#include "lts/filesystem/open_objects.h"

#include <utility>

namespace millrace::lts {
namespace {

constexpr std::chrono::seconds kTrusted{2};

Result<OpenObject> open_object(io::FileSystem& files, const std::string& path) {
    auto status = files.status(path);
    if (!status) return fail(status.error());
    if (status->directory) return fail(Errc::kNotFound);
    if (!status->regular) return fail(Errc::kCorrupt, "is no file");
    auto file = files.open(path, {.direct = true, .read_only = true});
    if (!file) return fail(file.error());
    auto size = (*file)->size();
    if (!size) return fail(size.error());
    return OpenObject{std::move(*file), *size};
}

}  // namespace

void OpenObjects::open(const std::string& path, Done done) {
    auto known = table_->entries.find(path);
    bool is_old = known != table_->entries.end() && known->second->object.file &&
                  clock_.now() - known->second->asked_at >= kTrusted;
    if (is_old) forget(path);
    std::shared_ptr<Entry>& entry = table_->entries[path];
    if (entry && entry->object.file) {
        table_->order.splice(table_->order.end(), table_->order, entry->place);
        return done(entry->object);
    }
    bool is_new = !entry;
    if (is_new) entry = std::make_shared<Entry>();
    entry->waiting.push_back(std::move(done));
    if (!is_new) return;
    entry->asked_at = clock_.now();
    auto result = std::make_shared<Result<OpenObject>>(fail(Errc::kClosed, "the file system is closed"));
    auto work = [&files = files_, path, result] { *result = open_object(files, path); };
    auto then = [table = table_, path, entry, result, kept = kept_] {
        opened(*table, path, entry, std::move(*result), kept);
    };
    files_.run_blocking(std::move(work), std::move(then));
}

void OpenObjects::opened(Table& table, const std::string& path, const std::shared_ptr<Entry>& entry,
                         Result<OpenObject> result, std::size_t kept) {
    auto found = table.entries.find(path);
    bool known = found != table.entries.end() && found->second == entry;  // not forgotten meanwhile
    if (known && !result) table.entries.erase(found);
    if (known && result) {
        entry->object = *result;
        entry->place = table.order.insert(table.order.end(), path);
        while (table.order.size() > kept) {
            table.entries.erase(table.order.front());
            table.order.pop_front();
        }
    }
    auto waiting = std::exchange(entry->waiting, {});
    for (Done& tell : waiting) tell(result);
}

void OpenObjects::forget(const std::string& path) {
    auto found = table_->entries.find(path);
    if (found == table_->entries.end()) return;
    if (found->second->object.file) table_->order.erase(found->second->place);
    table_->entries.erase(found);
}

}  // namespace millrace::lts
