// Metadata: the records of the controller in the containers' internal tables, typed. Reads see what is durable; a
// commit is a set of updates of one scope's entries, all or nothing, and is durable when it returns. Executor thread
// only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/async.h"
#include "controller/records/epoch_record.h"
#include "controller/records/group_record.h"
#include "controller/records/scope_record.h"
#include "controller/records/stream_record.h"
#include "store/segment_api.h"

namespace millrace::controller {

// A record with the version under which it was read: the condition of its next update.
template <typename Record>
struct Stored {
    Record record;
    std::int64_t version = container::kNotExists;
};

template <typename Record>
using Found = std::optional<Stored<Record>>;

class Batch {
  public:
    void put(std::string key, std::string value, std::int64_t expected_version = container::kAnyVersion) {
        updates_.push_back({std::move(key), std::move(value), expected_version});
    }
    void remove(std::string key, std::int64_t expected_version = container::kAnyVersion) {
        updates_.push_back({std::move(key), std::nullopt, expected_version});
    }
    // Adds something, rather than going on with what was begun or freeing space: refused while the log is full.
    Batch& adds() {
        need_ = container::SpaceNeed::kOrdinary;
        return *this;
    }
    void append(Batch other) {
        if (other.need_ == container::SpaceNeed::kOrdinary) adds();
        for (container::TableUpdate& update : other.updates_) updates_.push_back(std::move(update));
    }
    std::size_t size() const { return updates_.size(); }
    bool empty() const { return updates_.empty(); }
    container::SpaceNeed need() const { return need_; }
    std::vector<container::TableUpdate> take() { return std::move(updates_); }

  private:
    std::vector<container::TableUpdate> updates_;
    container::SpaceNeed need_ = container::SpaceNeed::kFrees;
};

class Metadata {
  public:
    static constexpr std::size_t kScanItems = 500;

    Metadata(runtime::Executor& executor, store::SegmentApi& segments) : executor_(executor), segments_(segments) {}

    Async<Found<ScopeRecord>> scope(std::string scope);
    Async<Found<StreamRecord>> stream(StreamName name);
    Async<Found<GroupRecord>> group(std::string scope, std::string group);
    Async<std::optional<Epoch>> epoch(StreamName name, std::int32_t epoch);
    // Consecutive. kNotFound: the first of them are not kept any more (history.h); kCorrupt: one is missing.
    Async<std::vector<Epoch>> epochs(StreamName name, std::int32_t first, std::int32_t last);
    Async<Epoch> oldest_epoch(StreamName name);  // that is kept

    template <typename Record>
    Async<Found<Record>> get(std::string scope, std::string key);
    Async<std::optional<container::TableEntry>> get_entry(std::string scope, std::string key);
    Async<std::vector<container::TableEntry>> scan(std::string scope, std::string prefix, std::string after,
                                                   std::size_t limit = kScanItems);
    Async<std::vector<container::TableEntry>> scan_container(ContainerId container, std::string prefix,
                                                             std::string after, std::size_t limit = kScanItems);
    // kConflict: an entry is not as the batch expects. kLimit: larger than an entry can be. kNoSpace: the log is full.
    Async<> commit(std::string scope, Batch batch);
    // The same; the result has the new version of each entry, in the batch's order (0: removed).
    Async<std::vector<std::int64_t>> update(std::string scope, Batch batch);

    std::uint32_t containers() const { return segments_.container_count(); }

  private:
    ContainerId home_of(std::string_view scope) const;

    runtime::Executor& executor_;
    store::SegmentApi& segments_;
};

}  // namespace millrace::controller
