// FakeSegmentApi: a segment store in memory that keeps the contract of store/segment_api.h, for tests of the controller
// and of what lies above it. Answers are posted, never given inside the call. A test can stop the world before or after
// any change (whatever was asked then is never answered, as if the process had died), or let changes fail.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bytes/hash.h"
#include "store/segment_api.h"

namespace millrace::controller {

class FakeSegmentApi final : public store::SegmentApi {
  public:
    struct Segment {
        container::CreateOptions options;
        std::int64_t length = 0;
        std::int64_t start = 0;
        bool sealed = false;
        std::vector<std::pair<std::int64_t, std::string>> appended;  // by the server: offset and event
        std::string bytes;                                           // what a read finds, from offset 0
        std::vector<std::string> merged;                             // names of sources that held bytes, in order
    };
    struct Cell {
        std::string value;
        std::int64_t version = 0;
    };
    using Table = std::map<std::string, Cell>;

    enum class Fault {
        kNone,
        kDieBefore,   // the change is not made, nobody is answered any more
        kDieAfter,    // made, nobody is answered any more
        kFailBefore,  // kUnavailable, not made; later changes work
        kFailAfter,   // kUnavailable, but made; later changes work
        kHang,        // not made, and not answered until let_go(); later changes work
    };

    explicit FakeSegmentApi(std::uint32_t containers = 3) : containers_(containers) {}

    // The fault meets the `at`-th change from now, from 0.
    void arm(Fault fault, std::size_t at) {
        fault_ = fault;
        at_ = at;
        changes_ = 0;
    }
    std::size_t changes() const { return changes_; }
    std::size_t reads() const { return reads_; }
    bool hangs() const { return !hanging_.empty(); }
    void let_go() { hanging_.clear(); }  // drops the callbacks
    bool dead() const { return dead_; }
    void revive() {
        dead_ = false;
        arm(Fault::kNone, 0);
    }

    std::map<std::string, Segment> segments;
    std::map<std::pair<std::uint32_t, std::string>, Table> tables;
    std::set<std::string> ever_created;               // names
    std::vector<std::string> created_again;           // names that were used a second time
    std::function<void(const std::string&)> on_seal;  // just before the segment is sealed
    std::function<void(Segment&)> on_read;            // just before it is read

    // ---- SegmentApi ----
    std::uint32_t container_count() const override { return containers_; }
    ContainerId container_for(std::string_view segment) const override {
        return ContainerId(bytes::container_of(segment, containers_));
    }

    void create(std::string name, container::CreateOptions options, runtime::Executor& on, Done<> done) override {
        change<void>(on, std::move(done), [this, name, options]() -> Result<> {
            if (segments.contains(name)) return fail(Errc::kExists, name);
            if (!ever_created.insert(name).second) created_again.push_back(name);
            segments[name].options = options;
            return {};
        });
    }
    void seal(std::string name, runtime::Executor& on, Done<std::int64_t> done) override {
        change<std::int64_t>(on, std::move(done), [this, name]() -> Result<std::int64_t> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            if (found->second.sealed) return fail(Errc::kSealed, name);
            if (on_seal) on_seal(name);
            found->second.sealed = true;
            return found->second.length;
        });
    }
    void truncate(std::string name, std::int64_t offset, runtime::Executor& on, Done<> done) override {
        change<void>(on, std::move(done), [this, name, offset]() -> Result<> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            if (offset < found->second.start) return fail(Error(Errc::kTruncated, found->second.start));
            if (offset > found->second.length) return fail(Error(Errc::kTruncated, found->second.start));
            found->second.start = offset;
            return {};
        });
    }
    void remove(std::string name, runtime::Executor& on, Done<> done) override {
        change<void>(on, std::move(done), [this, name]() -> Result<> {
            if (segments.erase(name) == 0) return fail(Errc::kNotFound, name);
            return {};
        });
    }
    void info(std::string name, runtime::Executor& on, Done<container::SegmentInfo> done) override {
        read<container::SegmentInfo>(on, std::move(done), [this, name]() -> Result<container::SegmentInfo> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            container::SegmentInfo info;
            info.name = name;
            info.length = found->second.length;
            info.start_offset = found->second.start;
            info.sealed = found->second.sealed;
            return info;
        });
    }
    void update_policy(std::string name, std::uint8_t scale_type, std::int32_t target_rate, runtime::Executor& on,
                       Done<> done) override {
        change<void>(on, std::move(done), [this, name, scale_type, target_rate]() -> Result<> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            if (found->second.sealed) return fail(Errc::kSealed, name);
            found->second.options.scale_type = scale_type;
            found->second.options.target_rate = target_rate;
            return {};
        });
    }
    void read(std::string name, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
              Done<bytes::Chain> done) override {
        read<bytes::Chain>(on, std::move(done), [this, name, offset, max_bytes]() -> Result<bytes::Chain> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            if (on_read) on_read(found->second);
            const Segment& segment = found->second;
            if (offset < segment.start) return fail(Error(Errc::kTruncated, segment.start));
            if (offset >= segment.length) return bytes::Chain();
            std::string_view all = segment.bytes;
            bytes::ByteSpan asked = bytes::as_bytes(all.substr(static_cast<std::size_t>(offset), max_bytes));
            return bytes::Chain(bytes::Slice::copy_of(asked));
        });
    }
    void append_at(std::string name, std::int64_t expected_offset, std::string event, runtime::Executor& on,
                   Done<std::int64_t> done) override {
        auto apply = [this, name, expected_offset, event = std::move(event)]() -> Result<std::int64_t> {
            auto found = segments.find(name);
            if (found == segments.end()) return fail(Errc::kNotFound, name);
            if (found->second.sealed) return fail(Errc::kSealed, name);
            if (found->second.length != expected_offset) return fail(Errc::kBadOffset, name);
            found->second.appended.emplace_back(expected_offset, event);
            found->second.bytes += event;
            return found->second.length += static_cast<std::int64_t>(event.size());
        };
        change<std::int64_t>(on, std::move(done), std::move(apply));
    }
    void merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
               Done<std::vector<std::int64_t>> done) override {
        using Ends = std::vector<std::int64_t>;
        change<Ends>(on, std::move(done), [this, target, sources]() -> Result<Ends> {
            auto into = segments.find(target);
            if (into == segments.end()) return fail(Errc::kNotFound, target);
            Ends ends;
            for (const std::string& source : sources) {
                auto found = segments.find(source);
                if (found != segments.end() && container_for(source) != container_for(target))
                    return fail(Errc::kInvalidArgument, "merge across containers");
                if (found != segments.end() && into->second.sealed) return fail(Errc::kSealed, target);
                if (found != segments.end()) {
                    into->second.length += found->second.length;
                    if (found->second.length > 0) into->second.merged.push_back(source);
                    segments.erase(found);
                }
                ends.push_back(into->second.length);
            }
            return ends;
        });
    }
    void update_table(ContainerId container, std::string table, std::vector<container::TableUpdate> updates,
                      container::SpaceNeed, runtime::Executor& on, Done<std::vector<std::int64_t>> done) override {
        auto apply = [this, container, table, updates = std::move(updates)]() -> Result<std::vector<std::int64_t>> {
            return update(tables[{container.value(), table}], updates);
        };
        change<std::vector<std::int64_t>>(on, std::move(done), std::move(apply));
    }
    void table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                   Done<std::optional<container::TableEntry>> done) override {
        using Entry = std::optional<container::TableEntry>;
        read<Entry>(on, std::move(done), [this, container, table, key]() -> Result<Entry> {
            Table& cells = tables[{container.value(), table}];
            auto found = cells.find(key);
            if (found == cells.end()) return Entry();
            return Entry(container::TableEntry{key, found->second.value, found->second.version});
        });
    }
    void table_scan(ContainerId container, std::string table, std::string prefix, std::string after, std::size_t limit,
                    runtime::Executor& on, Done<std::vector<container::TableEntry>> done) override {
        using Entries = std::vector<container::TableEntry>;
        read<Entries>(on, std::move(done), [this, container, table, prefix, after, limit]() -> Result<Entries> {
            Table& cells = tables[{container.value(), table}];
            Entries entries;
            auto at = after < prefix ? cells.lower_bound(prefix) : cells.upper_bound(after);
            for (; at != cells.end() && at->first.starts_with(prefix) && entries.size() < limit; ++at) {
                entries.push_back({at->first, at->second.value, at->second.version});
            }
            return entries;
        });
    }

  private:
    Result<std::vector<std::int64_t>> update(Table& cells, const std::vector<container::TableUpdate>& updates) {
        bool bad_version = false;
        for (const container::TableUpdate& u : updates) {
            if (u.expected_version == container::kAnyVersion) continue;
            auto found = cells.find(u.key);
            std::int64_t version = found == cells.end() ? container::kNotExists : found->second.version;
            if (u.expected_version >= 0 && version == container::kNotExists) return fail(Errc::kNoKey, u.key);
            bad_version = bad_version || version != u.expected_version;
        }
        if (bad_version) return fail(Errc::kBadVersion);
        std::vector<std::int64_t> versions;
        for (const container::TableUpdate& u : updates) {
            if (!u.value) cells.erase(u.key);
            if (u.value) cells[u.key] = Cell{*u.value, next_version_};
            versions.push_back(u.value ? next_version_ : 0);
            ++next_version_;
        }
        return versions;
    }

    template <typename T, typename Apply>
    void change(runtime::Executor& on, Done<T> done, Apply apply) {
        if (dead_) return;
        Fault fault = fault_ != Fault::kNone && changes_ == at_ ? fault_ : Fault::kNone;
        ++changes_;
        if (fault == Fault::kDieBefore || fault == Fault::kDieAfter) dead_ = true;
        if (fault == Fault::kDieBefore) return;
        if (fault == Fault::kHang) return hanging_.push_back([done = std::move(done)] {});
        Result<T> result = fail(Errc::kUnavailable, "injected");
        if (fault != Fault::kFailBefore) result = apply();
        if (fault == Fault::kDieAfter) return;
        if (fault == Fault::kFailAfter) result = fail(Errc::kUnavailable, "injected");
        answer<T>(on, std::move(done), std::move(result));
    }
    template <typename T, typename Look>
    void read(runtime::Executor& on, Done<T> done, Look look) {
        ++reads_;
        if (!dead_) answer<T>(on, std::move(done), look());
    }
    template <typename T>
    void answer(runtime::Executor& on, Done<T> done, Result<T> result) {
        on.post([this, done = std::move(done), result = std::move(result)]() mutable {
            if (!dead_) done(std::move(result));
        });
    }

    std::uint32_t containers_;
    std::int64_t next_version_ = 1;
    Fault fault_ = Fault::kNone;
    std::size_t at_ = 0;
    std::size_t changes_ = 0;
    std::size_t reads_ = 0;
    bool dead_ = false;
    std::vector<runtime::Task> hanging_;
};

}  // namespace millrace::controller
