// What the container shows, in all of its parts and to reads, compared with the model.
#include <algorithm>

#include <fmt/format.h>

#include "container/table_segments.h"
#include "sim/client.h"

namespace millrace::sim {

using container::ReadResult;

namespace {

constexpr std::size_t kWaitingReadsMax = 3;

using Differs = std::optional<std::string>;

const SegmentModel* find(const ContainerState& state, const std::string& name) {
    auto found = state.segments.find(name);
    return found == state.segments.end() ? nullptr : &found->second;
}

Differs compare_info(const std::string& name, const Result<container::SegmentInfo>& info, const SegmentModel* model) {
    if (info.has_value() != (model != nullptr)) {
        return fmt::format("segment {} {}", name,
                           info ? "is there, and should not be" : "is missing: " + info.error().to_string());
    }
    if (!info) return std::nullopt;
    if (info->length == static_cast<std::int64_t>(model->length) &&
        info->start_offset == static_cast<std::int64_t>(model->start) && info->sealed == model->sealed) {
        return std::nullopt;
    }
    return fmt::format("segment {} is {}..{}{}, should be {}..{}{}", name, info->start_offset, info->length,
                       info->sealed ? " sealed" : "", model->start, model->length, model->sealed ? " sealed" : "");
}

Differs compare_attribute(const std::string& name, const Uuid& id, const Result<std::int64_t>& now,
                          const SegmentModel* model) {
    if (model == nullptr || (model->table && id == container::kEventCount)) return std::nullopt;
    auto expected = model->attributes.find(id);
    std::int64_t value = expected == model->attributes.end() ? kNullAttribute : expected->second;
    if (now && *now == value) return std::nullopt;
    return fmt::format("attribute {:x}-{:x} of segment {} is {}, should be {}", id.high, id.low, name, now ? *now : -1,
                       value);
}

Differs compare_table(const std::string& name, const Result<container::TablePage>& page, const SegmentModel* model) {
    if (model == nullptr || !model->table) return std::nullopt;
    std::map<std::string, std::pair<std::string, std::int64_t>> entries;
    if (page) {
        for (const auto& entry : page->entries) entries[entry.key] = {entry.value, entry.version};
    }
    if (page && entries == model->entries) return std::nullopt;
    return fmt::format("table {} has {} entries, should have {}, or other ones", name, entries.size(),
                       model->entries.size());
}

}  // namespace

// Asks for all there is to see. Each answer becomes a comparison with a state, given when it comes; `expected` counts
// them.
void Client::show(const std::function<void(Comparison)>& give, std::size_t* expected) {
    for (const std::string& name : names_) {
        ++*expected;
        container_->info(name, [name, give](Result<container::SegmentInfo> info) {
            give([name, info = std::move(info)](const ContainerState& state) {
                return compare_info(name, info, find(state, name));
            });
        });
        std::vector<Uuid> ids(std::begin(kAttributes), std::end(kAttributes));
        for (const Writer& writer : writers_) ids.push_back(writer.id);
        ids.push_back(container::kEventCount);
        for (const Uuid& id : ids) {
            ++*expected;
            container_->attribute(name, id, [name, id, give](Result<std::int64_t> value) {
                give([name, id, value](const ContainerState& state) {
                    return compare_attribute(name, id, value, find(state, name));
                });
            });
        }
        if (!is_table_name(name)) continue;
        container::TableIteration all;
        all.count = 1000;
        ++*expected;
        container_->tables().iterate(name, all, [name, give](Result<container::TablePage> page) {
            give([name, page = std::move(page)](const ContainerState& state) {
                return compare_table(name, page, find(state, name));
            });
        });
    }
    for (std::string key : kMetadataKeys) {
        ++*expected;
        give([key, entry = container_->table_get("meta", key)](const ContainerState& state) -> Differs {
            auto found = state.metadata.find(key);
            bool same =
                entry ? found != state.metadata.end() && found->second == entry->value : found == state.metadata.end();
            if (same) return std::nullopt;
            return fmt::format("internal entry {} differs", key);
        });
    }
}

void Client::check() {
    std::size_t expected = 0;
    auto compare = [this, asked = ask_now(), life = life_](const Comparison& comparison) {
        if (life != life_) return;
        expect_shown_since(asked, comparison);
    };
    show(compare, &expected);
}

// ---- what comes later shows what was durable at some moment since it was asked for ----

std::shared_ptr<Client::Asked> Client::ask_now() {
    auto asked = std::make_shared<Asked>();
    asked->states.push_back(std::make_shared<const ContainerState>(model_.durable()));
    std::erase_if(asked_, [](const auto& one) { return one.expired(); });
    asked_.push_back(asked);
    return asked;
}

void Client::durable_changed() {
    std::shared_ptr<const ContainerState> now;
    for (const auto& one : asked_) {
        auto asked = one.lock();
        if (!asked) continue;
        if (!now) now = std::make_shared<const ContainerState>(model_.durable());
        asked->states.push_back(now);
    }
}

void Client::expect_shown_since(const std::shared_ptr<Asked>& asked, const Comparison& comparison) {
    if (container_ == nullptr || container_->stats().failed) return;
    std::optional<std::string> differs;
    for (auto state = asked->states.rbegin(); state != asked->states.rend(); ++state) {
        auto here = comparison(**state);
        if (!here) return;
        if (!differs) differs = std::move(here);
    }
    verdict_.violated(fmt::format("{}: what is shown is not what was acknowledged: {}", label(), *differs));
}

// ---- reads ----

void Client::read() {
    if (container_ == nullptr) return;
    std::string name = some_name();
    if (is_table_name(name)) return read_table(name);
    const auto& segments = model_.durable().segments;
    auto found = segments.find(name);
    if (found == segments.end()) {
        container_->read(name, 0, 100, [this, life = life_, name](const Result<ReadResult>& read) {
            if (life != life_ || !read) return;
            verdict_.violated(fmt::format("{}: a read of {}, which does not exist, succeeds", label(), name));
        });
        return;
    }
    const SegmentModel& segment = found->second;
    std::uint64_t offset = segment.start + random_.below(segment.length - segment.start + 1);
    if (random_.below(3) == 0) offset = segment.start;
    if (random_.below(20) == 0) offset = random_.below(segment.length + 1);
    bool waits = offset == segment.length && !segment.sealed;
    if (waits && waiting_reads_ >= kWaitingReadsMax) return;
    if (waits) ++waiting_reads_;
    bool must_have = offset < segment.length;
    trace_.add(fmt::format("{} read {} {}", index_, name, offset));
    std::size_t size = 1 + random_.below(6000);
    container_->read(name, static_cast<std::int64_t>(offset), size,
                     [this, life = life_, name, content = segment.content, offset, must_have,
                      waits](const Result<ReadResult>& read) {
                         if (life != life_) return;
                         if (waits) --waiting_reads_;
                         check_read(name, content, offset, must_have, read);
                     });
}

// Each key by itself is as it was at some moment since it was asked for.
void Client::read_table(const std::string& name) {
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i <= random_.below(6); ++i) keys.push_back(fmt::format("k{}", random_.below(8)));
    container_->tables().get(
        name, keys,
        [this, asked = ask_now(), life = life_, name, keys](const Result<std::vector<container::TableEntry>>& got) {
            if (life != life_) return;
            if (!got) {
                bool stops = got.error() == Errc::kClosed || got.error() == Errc::kIo;
                if (stops) return;
                return expect_shown_since(asked, [&](const ContainerState& state) -> Differs {
                    if (find(state, name) == nullptr) return std::nullopt;
                    return fmt::format("table {} cannot be read: {}", name, got.error().to_string());
                });
            }
            ++counts_.reads;
            if (got->size() != keys.size())
                return verdict_.violated(fmt::format("{}: {} keys have {} entries", label(), keys.size(), got->size()));
            for (std::size_t i = 0; i < keys.size(); ++i) {
                const container::TableEntry& entry = (*got)[i];
                expect_shown_since(asked, [&](const ContainerState& state) -> Differs {
                    const SegmentModel* table = find(state, name);
                    if (table != nullptr && entry.key == keys[i]) {
                        auto expected = table->entries.find(entry.key);
                        bool none = expected == table->entries.end();
                        if (none && entry.version == container::kNotExists) return std::nullopt;
                        if (!none && expected->second == std::pair(entry.value, entry.version)) return std::nullopt;
                    }
                    return fmt::format("table {} has '{}' at version {} for {}", name, entry.value, entry.version,
                                       keys[i]);
                });
            }
        });
}

void Client::check_read(const std::string& name, const std::shared_ptr<std::string>& content, std::uint64_t offset,
                        bool must_have, const Result<ReadResult>& read) {
    auto found = model_.latest().segments.find(name);
    bool there = found != model_.latest().segments.end() && found->second.content == content;
    if (!read) {
        const Error& error = read.error();
        trace_.add(fmt::format("{} read {} {}: {}", index_, name, offset, to_string(error.code())));
        bool allowed = (!there && error != Errc::kCorrupt) || error == Errc::kClosed || error == Errc::kIo ||
                       (error == Errc::kUnavailable && storage_fails);
        if (error == Errc::kTruncated) allowed = allowed || (there && found->second.start > offset);
        if (error == Errc::kSealed) allowed = allowed || (there && found->second.sealed);
        if (!allowed) {
            verdict_.violated(
                fmt::format("{}: a read of {} at {} fails: {}", label(), name, offset, error.to_string()));
        }
        return;
    }
    auto data = read->data.to_vector();
    ++counts_.reads;
    counts_.read_bytes += data.size();
    trace_.add(fmt::format("{} read {} {}: {} bytes", index_, name, offset, data.size()));
    if (data.empty() && must_have && there) {
        return verdict_.violated(
            fmt::format("{}: a read of {} at {} is empty, though there are acknowledged bytes", label(), name, offset));
    }
    if (offset + data.size() > content->size() ||
        !std::equal(data.begin(), data.end(), content->begin() + static_cast<std::ptrdiff_t>(offset),
                    [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); })) {
        verdict_.violated(fmt::format("{}: a read of {} at {} gives {} bytes that are not those written", label(), name,
                                      offset, data.size()));
    }
}

void Client::read_all(const std::function<void()>& run) {
    for (const auto& [name, segment] : model_.durable().segments) {  // range-ok: the model returns a reference
        std::uint64_t at = segment.start;
        while (!segment.table && at < segment.length && !verdict_.first()) {
            std::optional<Result<ReadResult>> result;
            container_->read(name, static_cast<std::int64_t>(at), 1 << 20,
                             [&](Result<ReadResult> read) { result = std::move(read); });
            for (int i = 0; i < 100 && !result; ++i) run();
            if (!result) return verdict_.violated(fmt::format("{}: a read of {} hangs", label(), name));
            check_read(name, segment.content, at, true, *result);
            if (!*result || (*result)->data.empty()) break;
            at += (*result)->data.size();
        }
    }
}

}  // namespace millrace::sim
