#include "sim/client.h"

#include <algorithm>

#include <fmt/format.h>

#include "container/table_segments.h"
#include "runtime/manual_executor.h"

namespace millrace::sim {

using container::AppendBatch;
using container::AppendOutcome;
using container::AppendRequest;
using container::AppendStatus;
using container::AttributeUpdateType;
using container::CreateOptions;
using container::kAnyVersion;
using container::kNotExists;
using container::kUnconditional;
using container::ReadResult;

namespace {

constexpr std::size_t kWriters = 3;
constexpr std::size_t kWaitingReadsMax = 3;
constexpr std::size_t kPendingMax = 60;
const std::vector<std::string> kMetadataKeys = {"m0", "m1", "m2", "m3"};
const std::vector<Uuid> kAttributes = {{7, 1}, {7, 2}, {7, 3}};

bool is_table_name(const std::string& name) { return name == "t" || name == "f"; }

std::optional<Errc> code_of(AppendStatus status) {
    switch (status) {
        case AppendStatus::kAppended:
            return std::nullopt;
        case AppendStatus::kSealed:
            return Errc::kSealed;
        case AppendStatus::kNoSuchSegment:
            return Errc::kNotFound;
        case AppendStatus::kBadEventNumber:
            return Errc::kBadAttribute;
        case AppendStatus::kBadOffset:
            return Errc::kBadOffset;
        case AppendStatus::kFatal:
            return Errc::kInvalidArgument;
    }
    return Errc::kInvalidArgument;
}

std::string text_of(const Answer& answer) {
    std::string value = answer.value == ContainerModel::kAny ? "any" : std::to_string(answer.value);
    return fmt::format("{} {}", answer.error ? to_string(*answer.error) : "done", value);
}

bool agree(const Answer& expected, const Answer& got) {
    auto plain = [](std::optional<Errc> error) { return error == Errc::kMerged ? Errc::kNotFound : error; };
    if (plain(expected.error) != plain(got.error)) return false;
    bool compared = !expected.error || expected.error == Errc::kTruncated;
    return !compared || expected.value == ContainerModel::kAny || expected.value == got.value;
}

}  // namespace

Client::Client(std::uint32_t index, Random& random, Trace& trace, Verdict& verdict, ClientCounts& counts,
               bool one_by_one)
    : index_(index),
      random_(random),
      trace_(trace),
      verdict_(verdict),
      counts_(counts),
      one_by_one_(one_by_one),
      names_({"a", "b", "c", "d", "t", "f"}) {
    for (std::size_t i = 0; i < kWriters; ++i) {
        writers_.emplace_back();
        writers_.back().id = Uuid{1, i + 1};
    }
}

std::string Client::label() const { return fmt::format("container {}", index_); }

// ---- lives ----

void Client::attach(container::SegmentContainer& container) {
    container_ = &container;
    ++life_;
    std::string last_difference;
    std::size_t unknown = model_.pending();
    std::size_t survived = 0;
    // Nothing else is under way: what is shown now is shown to all candidates.
    std::vector<Comparison> shown;
    std::size_t expected = 0;
    auto& executor = static_cast<runtime::ManualExecutor&>(container.executor());
    show([&](Comparison comparison) { shown.push_back(std::move(comparison)); }, &expected);
    for (int waits = 0; shown.size() < expected && waits < 1000; ++waits)
        executor.advance(std::chrono::milliseconds(1));
    auto fits = [&](const ContainerState& state) {
        std::optional<std::string> differs;
        for (const Comparison& comparison : shown) {
            if (!differs) differs = comparison(state);
        }
        if (!differs) return true;
        if (last_difference.size() < 2000) last_difference += fmt::format("\n  with {}: {}", survived, *differs);
        ++survived;
        return false;
    };
    if (!model_.recover(fits)) {
        verdict_.violated(
            fmt::format("{}: after recovery the state is none of those allowed ({} operations had no "
                        "answer){}",
                        label(), unknown, last_difference));
        return;
    }
    counts_.unknown_survived += survived;
    counts_.unknown_lost += unknown - survived;
    trace_.add(fmt::format("{}: life {}, {} of {} unknown had happened", label(), life_, survived, unknown));
}

void Client::detach() {
    container_ = nullptr;
    ++life_;
    for (Writer& writer : writers_) {
        writer.session = nullptr;
        writer.connecting = false;
    }
    sessions_.clear();
    waiting_reads_ = 0;
    control_under_way_ = false;
    tables_under_way_ = 0;
}

std::string Client::first_pending() {
    const Operation* first = nullptr;
    for (std::uint64_t number = 1; first == nullptr && number < counts_.operations + 1; ++number) {
        first = model_.find(number);
    }
    return first == nullptr ? "none" : fmt::format("operation {} on {}", first->number, first->name);
}

// ---- what the container shows ----

namespace {

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
    for (const std::string& key : kMetadataKeys) {
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

// ---- operations and answers ----

std::uint64_t Client::send(Operation operation) {
    ++counts_.operations;
    bool is_control = operation.kind != OpKind::kAppend;
    const Operation& sent = model_.send(std::move(operation));
    trace_.add(fmt::format("{} #{} {} {} {}: {}", index_, sent.number, static_cast<int>(sent.kind), sent.name,
                           sent.data.size(), text_of(sent.expected)));
    if (is_control) control_under_way_ = true;
    return sent.number;
}

void Client::answered(std::uint64_t number, Answer got, const std::string& text) {
    const Operation* operation = model_.find(number);
    trace_.add(fmt::format("{} #{} answered {}", index_, number, text_of(got)));
    if (operation == nullptr) {
        return verdict_.violated(fmt::format("{}: operation {} is answered after a later one", label(), number));
    }
    if (operation->kind != OpKind::kAppend) control_under_way_ = false;
    if (operation->kind == OpKind::kTable) --tables_under_way_;
    if (got.error == Errc::kClosed) return;  // whether it has happened shows after recovery
    if (got.error == Errc::kNoSpace && one_by_one_) {
        ++counts_.refused_full;
        return model_.withdraw_last();
    }
    ++counts_.answers;
    if (!agree(operation->expected, got)) {
        verdict_.violated(fmt::format("{}: operation {} (kind {}) on {} is answered '{}' {}, should be '{}'", label(),
                                      number, static_cast<int>(operation->kind), operation->name, text_of(got), text,
                                      text_of(operation->expected)));
    }
    model_.answered(number);
    durable_changed();
}

template <typename T>
auto Client::answer_to(std::uint64_t number) {
    return [this, number, life = life_](const Result<T>& result) {
        if (life != life_) return;
        Answer got;
        if (!result) {
            got = {result.error().code(), result.error().value()};
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
            got.value = *result;
        }
        answered(number, got, result ? "" : result.error().to_string());
    };
}

std::string Client::some_bytes(std::size_t most) {
    // Every byte string differs from its neighbours, and names where it came from.
    std::string bytes = fmt::format("[{}.{}]", index_, ++letters_);
    bytes.resize(bytes.size() + random_.below(most), static_cast<char>('a' + letters_ % 26));
    return bytes;
}

void Client::act() {
    if (container_ == nullptr || model_.pending() > kPendingMax) return;
    if (one_by_one_ && control_under_way_) return;
    // Updates of a table wait for its state, and the model takes operations to happen in the order of their numbers.
    if (tables_under_way_ > 0) return change_table(table_under_way_);
    bool must_append = one_by_one_ && model_.pending() > 0;
    std::uint64_t what = must_append ? 0 : random_.below(100);
    if (what < 66) {
        Writer& writer = writers_[random_.below(writers_.size())];
        if (writer.connecting) return;
        if (must_append && writer.session == nullptr) return;
        // Sometimes the connection is lost while appends are under way.
        bool lost = !one_by_one_ && random_.below(25) == 0;
        if (writer.session == nullptr || lost) return connect(writer);
        return append(writer, random_.below(6) == 0);
    }
    if (what < 82) return change_segment();
    if (what < 95) return change_table(random_.below(2) == 0 ? "t" : "f");
    change_metadata();
}

// ---- writers ----

void Client::connect(Writer& writer) {
    if (writer.session != nullptr) container_->close_append(writer.session->session, [] {});
    writer.session = nullptr;
    bool stays = !writer.segment.empty() && random_.below(4) != 0;
    if (!stays) {
        writer.segment = some_name();
        if (is_table_name(writer.segment) && random_.below(8) != 0) writer.segment = "a";
    }
    Session& session = *sessions_.emplace_back(std::make_unique<Session>());
    session.writer = static_cast<std::size_t>(&writer - writers_.data());
    session.session.writer_id = writer.id;
    session.session.segment_name = writer.segment;
    session.session.sink = this;
    session.session.tag = sessions_.size() - 1;
    auto found = model_.latest().segments.find(writer.segment);
    if (found != model_.latest().segments.end()) session.content = found->second.content;

    Operation operation;
    operation.kind = OpKind::kSetup;
    operation.name = writer.segment;
    operation.writer = writer.id;
    std::uint64_t number = send(std::move(operation));
    writer.connecting = true;
    container_->setup_append(session.session,
                             [this, number, life = life_, &writer, &session](const Result<std::int64_t>& last) {
                                 if (life == life_) connected(writer, session, number, last);
                             });
}

void Client::connected(Writer& writer, Session& session, std::uint64_t number, const Result<std::int64_t>& last) {
    answer_to<std::int64_t>(number)(last);
    writer.connecting = false;
    if (!last) {
        writer.segment.clear();
        return;
    }
    writer.session = &session;
    session.last_stored = *last;
    if (writer.content != session.content) writer.unacknowledged.clear();
    writer.content = session.content;
    while (!writer.unacknowledged.empty() && writer.unacknowledged.front().first <= *last) {
        writer.unacknowledged.pop_front();
    }
    counts_.resent += writer.unacknowledged.size();
    writer.sent = 0;
    writer.last = *last == kNullAttribute ? 0 : *last;
    if (!writer.unacknowledged.empty()) writer.last = writer.unacknowledged.back().first;
}

void Client::append(Writer& writer, bool conditional) {
    Session& session = *writer.session;
    AppendBatch batch;
    std::uint64_t count = conditional ? 1 : 1 + random_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (writer.sent == writer.unacknowledged.size()) {
            writer.last += 1 + static_cast<std::int64_t>(random_.below(3));
            writer.unacknowledged.emplace_back(writer.last, some_bytes(random_.below(12) == 0 ? 3000 : 300));
        }
        const auto& [number, data] = writer.unacknowledged[writer.sent++];
        std::int64_t expected = kUnconditional;
        auto found = model_.latest().segments.find(writer.segment);
        if (conditional && found != model_.latest().segments.end()) {
            expected = static_cast<std::int64_t>(found->second.length);
            if (random_.below(3) == 0) expected += static_cast<std::int64_t>(random_.below(40)) - 20;
            expected = std::max<std::int64_t>(expected, 0);
        }
        add_request(batch, session, number, data, expected);
    }
    container_->append(std::move(batch));
}

void Client::add_request(AppendBatch& batch, Session& session, std::int64_t number, const std::string& data,
                         std::int64_t expected_offset) {
    Operation operation;
    operation.kind = OpKind::kAppend;
    operation.name = session.session.segment_name;
    operation.writer = session.session.writer_id;
    operation.event_number = number;
    operation.data = data;
    operation.takes_effect = false;
    auto found = model_.latest().segments.find(operation.name);
    const SegmentModel* segment = found == model_.latest().segments.end() ? nullptr : &found->second;
    if (segment != nullptr && segment->content != session.content) segment = nullptr;
    bool fails = true;
    if (session.failed) {
        operation.silent = true;
    } else if (segment == nullptr) {
        operation.expected.error = Errc::kNotFound;
    } else if (segment->sealed) {
        operation.expected.error = Errc::kSealed;
    } else if (expected_offset >= 0 && static_cast<std::uint64_t>(expected_offset) != segment->length) {
        operation.expected.error = Errc::kBadOffset;
        fails = false;
    } else {
        operation.takes_effect = true;
        operation.expected.value = static_cast<std::int64_t>(segment->length + data.size());
        session.last_stored = number;
        fails = false;
    }
    session.failed = session.failed || fails;
    session.under_way.push_back(send(std::move(operation)));

    bytes::Slice copy = bytes::Slice::copy_of(bytes::as_bytes(data));
    AppendRequest request;
    request.session = &session.session;
    request.event_number = number;
    request.event_count = 1;
    request.expected_offset = expected_offset;
    request.conditional = expected_offset != kUnconditional;
    request.pieces[0] = copy.span();
    batch.memory.push_back(std::move(copy));
    batch.requests.push_back(request);
}

void Client::on_outcomes(std::span<const AppendOutcome> outcomes, std::uint64_t) {
    for (const AppendOutcome& outcome : outcomes) {
        Session& session = *sessions_[outcome.session->tag];
        Writer& writer = writers_[session.writer];
        bool current = writer.session == &session;
        std::uint64_t number = 0;
        for (std::uint32_t i = 0; i < outcome.requests && !session.under_way.empty(); ++i) {
            number = session.under_way.front();
            session.under_way.pop_front();
            bool done = outcome.status == AppendStatus::kAppended;
            if (!current || !done || writer.unacknowledged.empty()) continue;
            writer.unacknowledged.pop_front();
            --writer.sent;
        }
        if (number == 0) {
            verdict_.violated(fmt::format("{}: an append is answered twice", label()));
            continue;
        }
        if (outcome.status == AppendStatus::kFatal) {
            writer.session = nullptr;
            continue;
        }
        answered(number, {code_of(outcome.status), outcome.end_offset}, "");
        if (!current) continue;
        if (outcome.status == AppendStatus::kBadOffset) {
            // Given up. What was sent behind it has later numbers.
            writer.unacknowledged.pop_front();
            --writer.sent;
        } else if (outcome.status != AppendStatus::kAppended) {
            writer.session = nullptr;
        }
    }
}

// ---- segments, attributes, tables ----

std::vector<AttributeUpdate> Client::some_updates(const std::string& name) {
    std::vector<AttributeUpdate> updates;
    auto found = model_.latest().segments.find(name);
    for (std::uint64_t i = 0; i <= random_.below(3); ++i) {
        AttributeUpdate update;
        update.id = kAttributes[random_.below(kAttributes.size())];
        update.type = static_cast<AttributeUpdateType>(random_.below(5));
        update.value = static_cast<std::int64_t>(random_.below(100));
        if (found != model_.latest().segments.end()) {
            auto now = found->second.attributes.find(update.id);
            if (now != found->second.attributes.end() && random_.below(4) != 0) update.expected = now->second;
        }
        updates.push_back(update);
    }
    return updates;
}

void Client::change_segment() {
    Operation operation;
    operation.name = some_name();
    const auto& segments = model_.latest().segments;
    auto found = segments.find(operation.name);
    const SegmentModel* segment = found == segments.end() ? nullptr : &found->second;
    bool table = is_table_name(operation.name);
    std::string name = operation.name;
    std::uint64_t what = random_.below(100);
    if (segment == nullptr || what < 5) {
        if (model_.is_leaving(name)) return;
        operation.kind = OpKind::kCreate;
        operation.table = table;
        operation.key_length = name == "f" ? 2 : 0;
        CreateOptions options;
        options.table = table;
        options.key_length = operation.key_length;
        return container_->create(name, options, answer_to<void>(send(std::move(operation))));
    }
    if (what < 40 && !table) {
        operation.kind = OpKind::kTruncate;
        std::uint64_t room = segment->length - segment->start;
        operation.offset = static_cast<std::int64_t>(segment->start + random_.below(room + 1));
        if (random_.below(10) == 0) operation.offset = static_cast<std::int64_t>(random_.below(segment->length + 50));
        std::int64_t offset = operation.offset;
        return container_->truncate(name, offset, answer_to<void>(send(std::move(operation))));
    }
    if (what < 70) {
        operation.kind = OpKind::kAttributes;
        operation.attributes = some_updates(name);
        auto updates = operation.attributes;
        return container_->update_attributes(name, std::move(updates), answer_to<void>(send(std::move(operation))));
    }
    if (what < 76) {
        operation.kind = OpKind::kSeal;
        return container_->seal(name, answer_to<std::int64_t>(send(std::move(operation))));
    }
    if (what < 86 || table) {
        operation.kind = OpKind::kDelete;
        return container_->remove(name, answer_to<void>(send(std::move(operation))));
    }
    std::string source = some_name();
    if (is_table_name(source) || !segments.contains(source)) return;
    operation.kind = OpKind::kMerge;
    operation.other = source;
    if (random_.below(2) == 0) operation.attributes = some_updates(name);
    auto updates = operation.attributes;
    container_->merge(name, source, std::move(updates), answer_to<std::int64_t>(send(std::move(operation))));
}

void Client::change_table(const std::string& table) {
    Operation operation;
    operation.kind = OpKind::kTable;
    operation.name = table;
    auto found = model_.latest().segments.find(operation.name);
    for (std::uint64_t i = 0; i <= random_.below(4); ++i) {
        TableUpdate update;
        update.key = fmt::format("k{}", random_.below(8));
        if (found != model_.latest().segments.end() && random_.below(2) == 0) {
            auto entry = found->second.entries.find(update.key);
            update.expected_version = entry == found->second.entries.end() ? kNotExists : entry->second.second;
            if (random_.below(5) == 0) update.expected_version = random_.below(2) == 0 ? kNotExists : 1;
        }
        if (random_.below(4) != 0) update.value = some_bytes(200);
        operation.updates.push_back(std::move(update));
    }
    container::TableBatch batch{operation.updates, container::kAnyTableLength};
    table_under_way_ = table;
    ++tables_under_way_;
    std::string name = operation.name;
    container_->tables().update(name, std::move(batch),
                                answer_to<std::vector<std::int64_t>>(send(std::move(operation))));
}

void Client::change_metadata() {
    Operation operation;
    operation.kind = OpKind::kMetadata;
    operation.name = kMetadataKeys[random_.below(kMetadataKeys.size())];
    TableUpdate update;
    update.key = operation.name;
    if (random_.below(3) != 0) {
        operation.data = some_bytes(100);
        update.value = operation.data;
        operation.only_if_absent = random_.below(2) == 0;
        if (operation.only_if_absent) update.expected_version = kNotExists;
    }
    container_->update_table("meta", {std::move(update)}, container::SpaceNeed::kOrdinary,
                             answer_to<std::vector<std::int64_t>>(send(std::move(operation))));
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
                        if (none && entry.version == kNotExists) return std::nullopt;
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
    for (const auto& [name, segment] : model_.durable().segments) {
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
