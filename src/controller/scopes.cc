#include "controller/scopes.h"

#include <algorithm>

#include <fmt/format.h>

#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

PendingEntry pending(const std::string& scope) { return {PendingEntry::Kind::kScope, scope, {}}; }

}  // namespace

Async<CreateScopeStatus> Scopes::create(std::string scope) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_allowed_name(scope)) co_return CreateScopeStatus::kInvalidScopeName;
    KeyedMutex::Lock lock = co_await context_.locks.acquire("scope/" + scope);
    auto found = co_await context_.metadata.scope(scope);
    if (!found) co_return fail(found.error());
    if (*found) co_return CreateScopeStatus::kScopeExists;
    ScopeRecord record;
    record.creation_ms = context_.now_ms();
    Batch batch;
    batch.put(ScopeRecord::key(scope), record.encode(), container::kNotExists);
    batch.adds();
    auto committed = co_await context_.metadata.commit(scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return CreateScopeStatus::kSuccess;
}

Async<DeleteScopeStatus> Scopes::remove(std::string scope) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(scope)) co_return DeleteScopeStatus::kScopeNotFound;
    if (scope == kSystemScope) co_return DeleteScopeStatus::kScopeNotEmpty;
    KeyedMutex::Lock lock = co_await context_.locks.acquire("scope/" + scope);
    auto found = co_await context_.metadata.scope(scope);
    if (!found) co_return fail(found.error());
    if (!*found) co_return DeleteScopeStatus::kScopeNotFound;
    auto empty = co_await is_empty(scope);
    if (!empty) co_return fail(empty.error());
    if (!*empty) co_return DeleteScopeStatus::kScopeNotEmpty;
    Batch batch;
    batch.remove(ScopeRecord::key(scope), (*found)->version);
    batch.remove(pending(scope).key());
    auto committed = co_await context_.metadata.commit(scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return DeleteScopeStatus::kSuccess;
}

Async<bool> Scopes::is_empty(std::string scope) {
    auto stream = co_await context_.metadata.scan(scope, StreamRecord::prefix(scope), std::string(), 1);
    if (!stream) co_return fail(stream.error());
    auto group = co_await context_.metadata.scan(scope, GroupRecord::prefix(scope), std::string(), 1);
    if (!group) co_return fail(group.error());
    auto table = co_await context_.metadata.scan(scope, TableRecord::prefix(scope), std::string(), 1);
    if (!table) co_return fail(table.error());
    co_return stream->empty() && group->empty() && table->empty();
}

Async<DeleteScopeStatus> Scopes::remove_recursively(std::string scope) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(scope)) co_return DeleteScopeStatus::kSuccess;
    if (scope == kSystemScope) co_return DeleteScopeStatus::kFailure;
    KeyedMutex::Lock deletion = co_await context_.lock_deletion(scope);
    {
        KeyedMutex::Lock lock = co_await context_.locks.acquire("scope/" + scope);
        auto found = co_await context_.metadata.scope(scope);
        if (!found) co_return fail(found.error());
        if (!*found) co_return DeleteScopeStatus::kSuccess;
        Stored<ScopeRecord> stored = **found;
        stored.record.state = ScopeRecord::State::kDeleting;
        Batch batch;
        batch.put(ScopeRecord::key(scope), stored.record.encode(), stored.version);
        auto begun = co_await context_.commit_intent(pending(scope), std::move(batch));
        if (!begun) co_return fail(begun.error());
    }
    auto deleted = co_await carry_on_deleting(scope);
    if (!deleted) {
        context_.retry_later(pending(scope), deleted.error());
        co_return fail(deleted.error());
    }
    co_return DeleteScopeStatus::kSuccess;
}

Async<> Scopes::finish(std::string scope) {
    KeyedMutex::Lock deletion = co_await context_.lock_deletion(scope);
    auto found = co_await context_.metadata.scope(scope);
    if (!found) co_return fail(found.error());
    if (!*found || (*found)->record.state != ScopeRecord::State::kDeleting) co_return Result<>();
    auto deleted = co_await carry_on_deleting(scope);
    co_return deleted;
}

// What was begun before the scope was marked is in the listings, and is waited for by its lock.
Async<> Scopes::carry_on_deleting(std::string scope) {
    auto groups = co_await remove_groups(scope);
    if (!groups) co_return groups;
    auto streams = co_await remove_streams(scope);
    if (!streams) co_return streams;
    auto tables = co_await remove_tables(scope);
    if (!tables) co_return tables;
    KeyedMutex::Lock lock = co_await context_.locks.acquire("scope/" + scope);
    auto empty = co_await is_empty(scope);
    if (!empty) co_return fail(empty.error());
    if (!*empty) co_return fail(Errc::kConflict, fmt::format("something is being created in scope {}", scope));
    auto found = co_await context_.metadata.scope(scope);
    if (!found) co_return fail(found.error());
    Batch batch;
    if (*found) batch.remove(ScopeRecord::key(scope), (*found)->version);
    batch.remove(pending(scope).key());
    auto committed = co_await context_.metadata.commit(scope, std::move(batch));
    co_return committed;
}

Async<> Scopes::remove_groups(std::string scope) {
    std::string prefix = GroupRecord::prefix(scope);
    while (true) {
        auto page = co_await context_.metadata.scan(scope, prefix, std::string());
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        for (const container::TableEntry& entry : *page) {
            auto removed = co_await groups_.remove(scope, entry.key.substr(prefix.size()), std::nullopt);
            if (!removed) co_return fail(removed.error());
        }
    }
}

Async<> Scopes::remove_streams(std::string scope) {
    std::string prefix = StreamRecord::prefix(scope);
    while (true) {
        auto page = co_await context_.metadata.scan(scope, prefix, std::string());
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        for (const container::TableEntry& entry : *page) {
            // A companion goes with its stream, and in its own right when it has none.
            StreamName listed{scope, entry.key.substr(prefix.size())};
            StreamName base = base_of(listed);
            auto removed = co_await streams_.seal_and_remove(base);
            if (removed && base != listed) removed = co_await streams_.seal_and_remove(listed);
            if (!removed) co_return removed;
        }
    }
}

Async<> Scopes::remove_tables(std::string scope) {
    std::string prefix = TableRecord::prefix(scope);
    while (true) {
        auto page = co_await context_.metadata.scan(scope, prefix, std::string());
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        for (const container::TableEntry& entry : *page) {
            auto removed = co_await tables_.remove(scope, entry.key.substr(prefix.size()));
            if (!removed) co_return fail(removed.error());
        }
    }
}

}  // namespace millrace::controller
