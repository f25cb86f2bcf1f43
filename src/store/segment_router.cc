#include "store/segment_router.h"

#include <utility>

#include "bytes/hash.h"
#include "store/append_once.h"

namespace millrace::store {

using container::AttributeUpdate;
using container::AttributeUpdateType;
using container::SegmentContainer;

SegmentRouter::SegmentRouter(std::vector<ContainerHandle> containers) : containers_(std::move(containers)) {
    MILLRACE_ASSERT(!containers_.empty());
}

ContainerId SegmentRouter::container_for(std::string_view segment) const {
    return ContainerId(bytes::container_of(segment, container_count()));
}

template <typename T, typename Start>
void SegmentRouter::run(ContainerId container, runtime::Executor& on, Done<T> done, Start start) {
    const ContainerHandle& to = handle(container);
    auto deliver = [&on, executor = to.executor, done = std::move(done)](Result<T> result) mutable {
        if (executor == &on) return done(std::move(result));  // the container calls back outside of calls into it
        on.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
    };
    auto work = [target = to.container, start = std::move(start), deliver = std::move(deliver)]() mutable {
        start(*target, std::move(deliver));
    };
    if (to.executor->on_this_thread())
        work();
    else
        to.executor->post(std::move(work));
}

template <typename T, typename Ask>
void SegmentRouter::answer(ContainerId container, runtime::Executor& on, Done<T> done, Ask ask) {
    const ContainerHandle& to = handle(container);
    auto work = [&on, target = to.container, ask = std::move(ask), done = std::move(done)]() mutable {
        Result<T> result = ask(*target);
        on.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
    };
    if (to.executor->on_this_thread())
        work();
    else
        to.executor->post(std::move(work));
}

void SegmentRouter::create(std::string segment, container::CreateOptions options, runtime::Executor& on, Done<> done) {
    ContainerId owner = container_for(segment);
    run<void>(owner, on, std::move(done),
              [segment = std::move(segment), options](SegmentContainer& c, Done<> d) mutable {
                  c.create(std::move(segment), options, std::move(d));
              });
}

void SegmentRouter::seal(std::string segment, runtime::Executor& on, Done<std::int64_t> done) {
    ContainerId owner = container_for(segment);
    run<std::int64_t>(owner, on, std::move(done),
                      [segment = std::move(segment)](SegmentContainer& c, Done<std::int64_t> d) mutable {
                          c.seal(std::move(segment), std::move(d));
                      });
}

void SegmentRouter::truncate(std::string segment, std::int64_t offset, runtime::Executor& on, Done<> done) {
    ContainerId owner = container_for(segment);
    run<void>(owner, on, std::move(done),
              [segment = std::move(segment), offset](SegmentContainer& c, Done<> d) mutable {
                  c.truncate(std::move(segment), offset, std::move(d));
              });
}

void SegmentRouter::remove(std::string segment, runtime::Executor& on, Done<> done) {
    ContainerId owner = container_for(segment);
    run<void>(owner, on, std::move(done), [segment = std::move(segment)](SegmentContainer& c, Done<> d) mutable {
        c.remove(std::move(segment), std::move(d));
    });
}

void SegmentRouter::info(std::string segment, runtime::Executor& on, Done<container::SegmentInfo> done) {
    ContainerId owner = container_for(segment);
    run<container::SegmentInfo>(owner, on, std::move(done),
                                [segment = std::move(segment)](SegmentContainer& c, Done<container::SegmentInfo> d) {
                                    c.info(segment, std::move(d));
                                });
}

void SegmentRouter::update_policy(std::string segment, std::uint8_t scale_type, std::int32_t target_rate,
                                  runtime::Executor& on, Done<> done) {
    ContainerId owner = container_for(segment);
    run<void>(owner, on, std::move(done),
              [segment = std::move(segment), scale_type, target_rate](SegmentContainer& c, Done<> d) mutable {
                  c.update_attributes(std::move(segment), policy_updates(scale_type, target_rate), std::move(d));
              });
}

// Where the segment ends is asked first: a read there would wait.
void SegmentRouter::read(std::string segment, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
                         Done<bytes::Chain> done) {
    ContainerId owner = container_for(segment);
    auto start = [segment = std::move(segment), offset, max_bytes](SegmentContainer& c, Done<bytes::Chain> told) {
        auto d = [&c,
                  told = std::move(told)](Result<bytes::Chain> result) mutable {  // the container may answer at once
            c.executor().post(
                [told = std::move(told), result = std::move(result)]() mutable { told(std::move(result)); });
        };
        auto known = [&c, segment, offset, max_bytes, d = std::move(d)](Result<container::SegmentInfo> info) mutable {
            if (!info) return d(fail(info.error()));
            if (offset >= info->length || max_bytes == 0) return d(bytes::Chain());
            auto taken = [d = std::move(d)](Result<container::ReadResult> result) mutable {
                if (!result) return d(fail(result.error()));
                d(std::move(result->data));
            };
            c.read(segment, offset, max_bytes, std::move(taken));
        };
        c.info(segment, std::move(known));
    };
    run<bytes::Chain>(owner, on, std::move(done), std::move(start));
}

void SegmentRouter::append_at(std::string segment, std::int64_t expected_offset, std::string event,
                              runtime::Executor& on, Done<std::int64_t> done) {
    ContainerId owner = container_for(segment);
    run<std::int64_t>(owner, on, std::move(done),
                      [segment = std::move(segment), expected_offset, event = std::move(event)](
                          SegmentContainer& c, Done<std::int64_t> d) mutable {
                          append_once(c, std::move(segment), expected_offset, std::move(event), std::move(d));
                      });
}

void SegmentRouter::merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
                          Done<std::vector<std::int64_t>> done) {
    using Ends = std::vector<std::int64_t>;
    ContainerId owner = container_for(target);
    run<Ends>(owner, on, std::move(done),
              [target = std::move(target), sources = std::move(sources)](SegmentContainer& c, Done<Ends> d) mutable {
                  c.merge_batch(std::move(target), std::move(sources), std::move(d));
              });
}

void SegmentRouter::update_table(ContainerId container, std::string table, std::vector<container::TableUpdate> updates,
                                 container::SpaceNeed need, runtime::Executor& on,
                                 Done<std::vector<std::int64_t>> done) {
    using Versions = std::vector<std::int64_t>;
    run<Versions>(
        container, on, std::move(done),
        [table = std::move(table), updates = std::move(updates), need](SegmentContainer& c, Done<Versions> d) mutable {
            c.update_table(std::move(table), std::move(updates), need, std::move(d));
        });
}

void SegmentRouter::table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                              Done<std::optional<container::TableEntry>> done) {
    using Entry = std::optional<container::TableEntry>;
    answer<Entry>(
        container, on, std::move(done),
        [table = std::move(table), key = std::move(key)](SegmentContainer& c) { return c.table_get(table, key); });
}

void SegmentRouter::table_scan(ContainerId container, std::string table, std::string prefix, std::string after,
                               std::size_t limit, runtime::Executor& on,
                               Done<std::vector<container::TableEntry>> done) {
    using Entries = std::vector<container::TableEntry>;
    answer<Entries>(container, on, std::move(done),
                    [table = std::move(table), prefix = std::move(prefix), after = std::move(after),
                     limit](SegmentContainer& c) { return c.table_scan(table, prefix, after, limit); });
}

void SegmentRouter::traffic(ContainerId container, runtime::Executor& on,
                            Done<std::vector<container::SegmentTraffic>> done) {
    using All = std::vector<container::SegmentTraffic>;
    answer<All>(container, on, std::move(done), [](SegmentContainer& c) { return c.traffic(); });
}

void SegmentRouter::scaling_traffic(ContainerId container, runtime::Executor& on,
                                    Done<std::vector<container::SegmentTraffic>> done) {
    using All = std::vector<container::SegmentTraffic>;
    answer<All>(container, on, std::move(done), [](SegmentContainer& c) { return c.scaling_traffic(); });
}

std::vector<AttributeUpdate> policy_updates(std::int64_t scale_type, std::int32_t target_rate) {
    return {AttributeUpdate{container::kScalePolicyType, AttributeUpdateType::kReplace, scale_type},
            AttributeUpdate{container::kScalePolicyRate, AttributeUpdateType::kReplace, target_rate}};
}

}  // namespace millrace::store
