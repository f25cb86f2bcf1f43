#include "controller/context.h"

#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

boost::asio::awaitable<KeyedMutex::Lock> Context::lock_stream(const StreamName& name) {
    return locks.acquire("stream/" + to_string(base_of(name)));
}

Async<bool> Context::commit_in_scope(std::string scope, Batch batch, Joining joining) {
    KeyedMutex::Lock lock = co_await locks.acquire("scope/" + scope);
    auto found = co_await metadata.scope(scope);
    if (!found) co_return fail(found.error());
    if (!*found) co_return false;
    const Stored<ScopeRecord>& stored = **found;
    if (joining == Joining::kNew && stored.record.state == ScopeRecord::State::kDeleting) co_return false;
    batch.put(ScopeRecord::key(scope), stored.record.encode(), stored.version);
    auto committed = co_await metadata.commit(scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return true;
}

Async<> Context::commit_intent(PendingEntry entry, Batch batch) {
    batch.put(entry.key(), marker_value());
    auto committed = co_await metadata.commit(entry.scope, std::move(batch));
    if (!committed) retry_later(std::move(entry), committed.error());
    co_return committed;
}

Async<bool> Context::commit_new_intent(PendingEntry entry, Batch batch) {
    batch.put(entry.key(), marker_value());
    batch.adds();
    auto committed = co_await commit_in_scope(entry.scope, std::move(batch), Joining::kNew);
    if (!committed) retry_later(std::move(entry), committed.error());
    co_return committed;
}

}  // namespace millrace::controller
