// SegmentRouter: finds the container of a segment and takes requests there; the store's SegmentApi for other rooms.
//
// Life cycle: made by StoreService with the containers' handles, which outlive it. Thread rule: immutable, used from
// any thread. A request runs on the container's executor (at once when the caller is on it); its callback runs on the
// executor that was named, and never inside the call.
#pragma once

#include <vector>

#include "container/container.h"
#include "store/segment_api.h"
#include "store/traffic_api.h"

namespace millrace::store {

struct ContainerHandle {
    container::SegmentContainer* container = nullptr;
    runtime::Executor* executor = nullptr;  // the container's
};

class SegmentRouter final : public SegmentApi, public TrafficApi {
  public:
    // containers[i] is the one with id i.
    explicit SegmentRouter(std::vector<ContainerHandle> containers);

    std::uint32_t container_count() const override { return static_cast<std::uint32_t>(containers_.size()); }
    ContainerId container_for(std::string_view segment) const override;
    const ContainerHandle& handle(ContainerId container) const { return containers_[container.value()]; }

    void create(std::string segment, container::CreateOptions options, runtime::Executor& on, Done<> done) override;
    void seal(std::string segment, runtime::Executor& on, Done<std::int64_t> done) override;
    void truncate(std::string segment, std::int64_t offset, runtime::Executor& on, Done<> done) override;
    void remove(std::string segment, runtime::Executor& on, Done<> done) override;
    void info(std::string segment, runtime::Executor& on, Done<container::SegmentInfo> done) override;
    void update_policy(std::string segment, std::uint8_t scale_type, std::int32_t target_rate, runtime::Executor& on,
                       Done<> done) override;
    void read(std::string segment, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
              Done<bytes::Chain> done) override;
    void append_at(std::string segment, std::int64_t expected_offset, std::string event, runtime::Executor& on,
                   Done<std::int64_t> done) override;
    void merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
               Done<std::vector<std::int64_t>> done) override;

    void update_table(ContainerId container, std::string table, std::vector<container::TableUpdate> updates,
                      container::SpaceNeed need, runtime::Executor& on, Done<std::vector<std::int64_t>> done) override;
    void table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                   Done<std::optional<container::TableEntry>> done) override;
    void table_scan(ContainerId container, std::string table, std::string prefix, std::string after, std::size_t limit,
                    runtime::Executor& on, Done<std::vector<container::TableEntry>> done) override;

    void traffic(ContainerId container, runtime::Executor& on,
                 Done<std::vector<container::SegmentTraffic>> done) override;
    void scaling_traffic(ContainerId container, runtime::Executor& on,
                         Done<std::vector<container::SegmentTraffic>> done) override;

  private:
    // Runs `start(container, done)` on the container's executor; `done` is delivered to `on`.
    template <typename T, typename Start>
    void run(ContainerId container, runtime::Executor& on, Done<T> done, Start start);
    // The same for questions that the container answers at once: posts the result of `ask(container)`.
    template <typename T, typename Ask>
    void answer(ContainerId container, runtime::Executor& on, Done<T> done, Ask ask);

    std::vector<ContainerHandle> containers_;
};

// The attribute updates that UPDATE_SEGMENT_POLICY stands for.
std::vector<container::AttributeUpdate> policy_updates(std::int64_t scale_type, std::int32_t target_rate);

}  // namespace millrace::store
