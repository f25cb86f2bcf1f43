#include "sim/client.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/manual_executor.h"

namespace millrace::sim {

using container::AppendBatch;
using container::AppendOutcome;
using container::AppendRequest;
using container::AppendStatus;
using container::kUnconditional;

namespace {

constexpr std::size_t kWriters = 3;
constexpr std::size_t kPendingMax = 60;

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
}  // namespace millrace::sim
