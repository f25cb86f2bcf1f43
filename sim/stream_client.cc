#include "sim/stream_client.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/uuid.h"
#include "controller/names.h"

namespace millrace::sim {

using namespace controller;  // NOLINT: all of it is the controller's vocabulary
using std::chrono::milliseconds;

namespace {

constexpr Uuid kGroupId{7, 7};
constexpr std::size_t kOpenMost = 10;  // transactions of a stream that clients care for
constexpr std::int64_t kFarBeyond = 1'000'000;
constexpr std::int64_t kLeases[] = {2'000, 30'000, 200'000};
const std::string kSubscriber = fmt::format("{}/{}", kScope, kGroup);

std::string text_of(const StreamCut& cut) {
    std::string text;
    for (const auto& [id, offset] : cut) text += fmt::format(" {}.#epoch.{}:{}", number_of(id), epoch_of(id), offset);
    return text;
}

bool is_refusal(const Error& error) {
    return error == Errc::kSealed || error == Errc::kNotFound || error == Errc::kMerged || error == Errc::kBadOffset;
}

}  // namespace

void StreamClients::violated(std::string what) {
    if (!wrong_) wrong_ = std::move(what);
}

template <typename T, typename Then>
auto StreamClients::heard(Then then) {
    ++waiting_;
    return [this, life = life_, then = std::move(then)](Result<T> result) mutable {
        if (life != life_) return;
        --waiting_;
        then(std::move(result));
    };
}

void StreamClients::end_life() {
    ++life_;
    waiting_ = 0;
    reads_ = 0;
    for (const auto& [stream, begun] : begins_) {
        if (begun > 0) lost_begins_.insert(stream);
    }
    begins_.clear();
}

void StreamClients::begin_round(bool group_is_there, std::int64_t generation, std::set<std::string> existing) {
    changes_.clear();
    lost_begins_.clear();
    refused_.clear();
    group_changes_ = false;
    group_is_there_ = group_is_there;
    generation_ = generation;
    existing_ = std::move(existing);
}

// ---- the shape of a stream ----

void StreamClients::make_scope() {
    node_.controller().create_scope(std::string(kScope), heard<CreateScopeStatus>([this](auto status) {
                                        if (!status || *status != CreateScopeStatus::kSuccess) violated("no scope");
                                    }));
}

StreamConfig StreamClients::drawn_config(const StreamModel& stream) {
    StreamConfig config;
    config.scaling.min_segments = static_cast<std::int32_t>(1 + random_.below(4));
    bool may_retain = stream.subscribed && !stream.reported.empty() && !group_changes_;
    if (may_retain && random_.below(2) == 0) {
        config.retention = RetentionPolicy{RetentionType::kSize, static_cast<std::int64_t>(1 + random_.below(300)), 0};
        retains_ = true;
    }
    return config;
}

template <typename Status>
auto StreamClients::judged(const StreamModel& stream, Status good) {
    Change& change = changes_[stream.name.stream];
    change.told = Told::kAsked;
    return heard<Status>([&change, good](Result<Status> status) {
        if (!status) {
            change.text = status.error().to_string();
            return;
        }
        change.told = *status == good ? Told::kYes : Told::kNo;
        change.text = std::to_string(static_cast<int>(*status));
    });
}

void StreamClients::change(StreamModel& stream) {
    const StreamName& name = stream.name;
    Controller& controller = node_.controller();
    Change& change = changes_[name.stream];
    std::uint64_t drawn = random_.below(100);
    if (!stream.view.exists ? drawn < 80 : drawn < 3) {
        change.what = What::kCreate;
        change.config = drawn_config(stream);
        trace_.add(name.stream + ": create");
        controller.create_stream(name, change.config, judged(stream, CreateStreamStatus::kSuccess));
    } else if (!stream.view.exists) {
        return;
    } else if (stream.view.sealed ? drawn < 60 : drawn > 98) {
        change.what = What::kDelete;
        trace_.add(name.stream + ": delete");
        controller.delete_stream(name, judged(stream, DeleteStreamStatus::kSuccess));
    } else if (drawn < 40) {
        scale(stream, change);
    } else if (drawn < 70) {
        truncate(stream, change);
    } else if (drawn < 80) {
        change.what = What::kUpdate;
        change.config = drawn_config(stream);
        trace_.add(fmt::format("{}: update, {} segments", name.stream, change.config.scaling.min_segments));
        controller.update_stream(name, change.config, judged(stream, UpdateStreamStatus::kSuccess));
    } else if (drawn > 95) {
        change.what = What::kSeal;
        stream.seal_asked = true;
        trace_.add(name.stream + ": seal");
        controller.seal_stream(name, judged(stream, UpdateStreamStatus::kSuccess));
    }
}

// Splits a segment in two, or merges two neighbours.
void StreamClients::scale(StreamModel& stream, Change& change) {
    const auto& current = stream.view.current();
    std::size_t at = random_.below(current.size());
    const SegmentRange& one = current[at];
    ScaleRequest request;
    request.sealed = {one.id};
    bool merges = at + 1 < current.size() && random_.below(2) == 0;
    double middle = one.min_key + (one.max_key - one.min_key) / 2;
    if (merges) {
        request.sealed.push_back(current[at + 1].id);
        request.ranges = {{one.min_key, current[at + 1].max_key}};
    } else {
        request.ranges = {{one.min_key, middle}, {middle, one.max_key}};
    }
    change.what = What::kScale;
    change.told = Told::kAsked;
    change.more = merges ? -1 : 1;
    trace_.add(fmt::format("{}: scale by {}", stream.name.stream, change.more));
    node_.controller().scale_stream(stream.name, request, heard<ScaleResult>([&change](Result<ScaleResult> result) {
                                        if (!result) return;
                                        bool started = result->status == ScaleStatus::kStarted;
                                        change.told = started ? Told::kYes : Told::kNo;
                                    }));
}

void StreamClients::truncate(StreamModel& stream, Change& change) {
    change.cut = stream.walk(stream.view.head, random_);
    change.what = What::kTruncate;
    if (random_.below(6) == 0) {
        change.what = What::kTruncateWrongly;
        if (random_.below(2) == 0)
            change.cut.erase(change.cut.begin());
        else
            change.cut.begin()->second += kFarBeyond;
    }
    trace_.add(fmt::format("{}: truncate at{}", stream.name.stream, text_of(change.cut)));
    node_.controller().truncate_stream(stream.name, change.cut, judged(stream, UpdateStreamStatus::kSuccess));
}

std::vector<StreamCut> StreamClients::causes(const StreamModel& stream) const {
    std::vector<StreamCut> causes;
    auto found = changes_.find(stream.name.stream);
    bool retains = stream.view.config.retention.has_value();
    if (found != changes_.end()) {
        if (found->second.what == What::kTruncate) causes.push_back(found->second.cut);
        retains = retains || found->second.config.retention;
    }
    if (retains && !stream.reported.empty()) causes.push_back(stream.reported.back());
    if (retains && stream.reporting) causes.push_back(*stream.reporting);
    return causes;
}

std::optional<std::string> StreamClients::judge_change(const StreamModel& stream, const ObjectView& now) {
    const ObjectView& before = stream.view;
    const Change& change = changes_[stream.name.stream];
    auto wrong = [&](std::string_view what) -> std::optional<std::string> {
        return fmt::format("{}: change {}, answer {} {}: {}", controller::to_string(stream.name),
                           static_cast<int>(change.what), static_cast<int>(change.told), change.text, what);
    };
    bool yes = change.told == Told::kYes;
    bool no = change.told == Told::kNo;
    bool was_there = before.exists;
    if (change.what != What::kCreate && !was_there && now.exists) return wrong("it comes to be");
    if (change.what != What::kDelete && was_there && !now.exists) return wrong("it is gone");
    if (change.what != What::kSeal && was_there && now.exists && before.sealed != now.sealed) return wrong("sealed");
    if (was_there && now.exists && change.what != What::kUpdate && before.config != now.config)
        return wrong("its configuration changes");
    bool may_cut = change.what == What::kTruncate || before.config.retention || change.config.retention;
    if (was_there && now.exists && !may_cut && before.head != now.head) return wrong("its head changes");
    std::size_t count = was_there ? before.current().size() : 0;
    std::size_t count_now = now.exists ? now.current().size() : 0;
    bool may_resize = change.what == What::kUpdate || change.what == What::kScale;
    if (was_there && now.exists && !may_resize && count != count_now) return wrong("its segments change");
    switch (change.what) {
        case What::kNothing:
            break;
        case What::kCreate:
            if (yes && (was_there || !now.exists)) return wrong("made");
            if (no && !was_there) return wrong("not made");
            if (!was_there && now.exists && now.config != change.config) return wrong("made otherwise");
            break;
        case What::kUpdate:
            if (yes && (before.sealed || now.config != change.config)) return wrong("updated");
            if (no && !before.sealed) return wrong("not updated");
            if (now.config != change.config && now.config != before.config) return wrong("updated otherwise");
            if (now.config == change.config && now.config != before.config &&
                count_now != static_cast<std::size_t>(change.config.scaling.min_segments))
                return wrong("segments");
            break;
        case What::kScale:
            // Refused when commits across scales have replaced the segments.
            if (yes && count_now != count + static_cast<std::size_t>(change.more)) return wrong("scaled");
            if (no && count_now != count) return wrong("not scaled");
            if (count_now != count && count_now != count + static_cast<std::size_t>(change.more))
                return wrong("scaled");
            if (yes) ++scalings_;
            break;
        case What::kTruncate: {
            bool retains = before.config.retention.has_value();
            if (yes && now.head != change.cut && !retains) return wrong("truncated");
            if (no && !before.sealed && !retains) return wrong("not truncated");
            if (now.head != change.cut && now.head != before.head && !retains) return wrong("truncated otherwise");
            if (yes) ++truncations_;
            break;
        }
        case What::kTruncateWrongly:
            if (yes) return wrong("truncated at no cut");
            break;
        case What::kSeal:
            if (yes && !now.sealed) return wrong("sealed");
            if (no) return wrong("not sealed");
            break;
        case What::kDelete:
            if (yes && (now.exists || !before.sealed)) return wrong("deleted");
            if (no && before.sealed) return wrong("not deleted");
            break;
    }
    return std::nullopt;
}

// ---- what does not change the shape ----

void StreamClients::step(StreamModel& stream) {
    std::uint64_t drawn = random_.below(100);
    if (drawn < 12) return begin_transaction(stream);
    if (drawn < 42) return write_part(stream);
    if (drawn < 50) return ping(stream);
    if (drawn < 62) return end_transaction(stream, true);
    if (drawn < 66) return end_transaction(stream, false);
    if (drawn < 80) return append(stream);
    if (drawn < 91) return read(stream);
    if (drawn < 98) return report(stream);
    update_group();
}

TxnModel* StreamClients::some_transaction(StreamModel& stream, TransactionId& id) {
    std::vector<TransactionId> all;
    bool any = random_.below(8) == 0;
    for (const auto& [each, txn] : stream.txns) {
        bool cared_for =
            txn.state == TransactionState::kOpen && txn.commit == Told::kNothing && txn.abort == Told::kNothing;
        if (any || cared_for) all.push_back(each);
    }
    if (all.empty()) return nullptr;
    id = all[random_.below(all.size())];
    return &stream.txns.at(id);
}

void StreamClients::begin_transaction(StreamModel& stream) {
    auto open = std::ranges::count_if(stream.txns, [](const auto& entry) {
        return entry.second.state == TransactionState::kOpen && entry.second.commit == Told::kNothing;
    });
    if (static_cast<std::size_t>(open) >= kOpenMost) return;
    std::int64_t lease = kLeases[random_.below(std::size(kLeases))];
    auto asked = node_.now();
    ++begins_[stream.name.stream];
    auto begun = [this, &stream, lease, asked](Result<BegunTransaction> result) {
        --begins_[stream.name.stream];
        if (result) {
            stream.add(*result, asked, milliseconds(lease)).last_request = node_.now();
            trace_.add(fmt::format("{}: begun {}", stream.name.stream, to_hex(result->id)));
            return;
        }
        lost_begins_.insert(stream.name.stream);
        bool may_fail = !stream.view.exists || stream.view.sealed || stream.seal_asked;
        if (!may_fail) violated("a transaction was refused: " + result.error().to_string());
    };
    node_.controller().begin_transaction(stream.name, lease, heard<BegunTransaction>(std::move(begun)));
}

void StreamClients::write_part(StreamModel& stream) {
    TransactionId id;
    TxnModel* txn = some_transaction(stream, id);
    if (txn == nullptr) return;
    for (std::size_t at = 0; at < txn->parts.size(); ++at) {
        if (random_.below(2) == 0) write_part_of(stream, id, at);
    }
}

void StreamClients::write_part_of(StreamModel& stream, const TransactionId& id, std::size_t at) {
    TxnModel* txn = &stream.txns.at(id);
    TxnModel::Part& part = txn->parts[at];
    if (part.writing) return;
    std::uint64_t number = stream.new_event(id, at, {txn->ranges[at].id, part.length}, random_);
    part.writing = number;
    auto life = stream.life;
    auto written = [this, &stream, id, at, number, life](Result<std::int64_t> end) {
        if (life != stream.life) return;
        TxnModel::Part& own = stream.txns.at(id).parts[at];
        EventModel& event = stream.events.at(number);
        if (end) {
            event.told = Told::kYes;
            std::int64_t wanted = std::exchange(own.length, *end) + static_cast<std::int64_t>(event.text.size());
            if (wanted != *end) violated(fmt::format("{} ends at {}, not {}", own.segment, *end, wanted));
            own.writing.reset();
        } else if (is_refusal(end.error())) {
            event.told = Told::kNo;
            refused_.insert({stream.name.stream, number});
            own.writing.reset();
        }
    };
    node_.segments().append_at(part.segment, part.length, stream.events.at(number).text, node_.executor(),
                               heard<std::int64_t>(std::move(written)));
}

void StreamClients::ping(StreamModel& stream) {
    TransactionId id;
    TxnModel* txn = some_transaction(stream, id);
    if (txn == nullptr || txn->pinging) return;
    std::int64_t lease = kLeases[random_.below(std::size(kLeases))];
    auto asked = node_.now();
    bool may_be_over = asked >= txn->lives_until;
    txn->lives_until = std::min(txn->lives_until, asked + milliseconds(lease));
    txn->longest = std::max(txn->longest, milliseconds(lease));
    txn->last_request = asked;
    if (planted_ == PlantedControl::kForgottenPing) {
        if (!may_be_over) txn->lives_until = asked + milliseconds(lease);
        return;
    }
    txn->pinging = true;
    auto life = stream.life;
    auto answered = [this, &stream, id, lease, asked, may_be_over, life](Result<PingStatus> status) {
        if (life != stream.life) return;
        TxnModel& own = stream.txns.at(id);
        own.pinging = false;
        if (!status) return;
        own.last_request = node_.now();
        bool deleted = changes_[stream.name.stream].what == What::kDelete;
        bool ended = own.abort != Told::kNothing || own.commit == Told::kNo || may_be_over || stream.seal_asked;
        bool wrong = *status == PingStatus::kOk          ? own.commit == Told::kYes || own.abort == Told::kYes
                     : *status == PingStatus::kCommitted ? own.commit == Told::kNothing
                     : *status == PingStatus::kAborted
                         ? !ended && own.state == TransactionState::kOpen && node_.now() < own.lives_until
                         : !deleted;
        // What was told while the ping was under way is no contradiction.
        if (wrong && *status == PingStatus::kOk) wrong = own.told_at < asked;
        if (wrong)
            violated(fmt::format("{}: a ping of {} is answered by {}", controller::to_string(stream.name), to_hex(id),
                                 static_cast<int>(*status)));
        if (*status == PingStatus::kOk) own.lives_until = asked + milliseconds(lease);
    };
    node_.controller().ping_transaction(stream.name, id, lease, heard<PingStatus>(std::move(answered)));
}

void StreamClients::end_transaction(StreamModel& stream, bool commits) {
    TransactionId id;
    TxnModel* txn = some_transaction(stream, id);
    if (txn == nullptr) return;
    Told& first = commits ? txn->commit : txn->abort;
    if (first == Told::kNothing) {
        first = Told::kAsked;
        if (commits) txn->commit_asked = ++stream.happened;
    }
    trace_.add(fmt::format("{}: {} {}", stream.name.stream, commits ? "commit" : "abort", to_hex(id)));
    auto life = stream.life;
    auto answered = [this, &stream, id, commits, life](Result<TransactionOutcome> outcome) {
        if (!outcome || life != stream.life || changes_[stream.name.stream].what == What::kDelete) return;
        TxnModel& own = stream.txns.at(id);
        Told& told = commits ? own.commit : own.abort;
        Told now = *outcome == TransactionOutcome::kSuccess ? Told::kYes : Told::kNo;
        if (told != Told::kAsked && told != now)
            violated(fmt::format("{}: {} of {} is answered one way and another", controller::to_string(stream.name),
                                 commits ? "commit" : "abort", to_hex(id)));
        bool first_yes = told == Told::kAsked && now == Told::kYes;
        told = now;
        own.told_at = node_.now();
        if (!commits || !first_yes) return;
        own.commit_told = ++stream.happened;
        // Others wait at once behind it: their order counts.
        if (random_.below(2) == 0) end_transaction(stream, true);
    };
    auto done = heard<TransactionOutcome>(std::move(answered));
    if (commits)
        node_.controller().commit_transaction(stream.name, id, {}, std::move(done));
    else
        node_.controller().abort_transaction(stream.name, id, std::move(done));
}

void StreamClients::append(StreamModel& stream) {
    if (!stream.view.exists) return;
    const auto& current = stream.view.current();
    StreamSegmentId id = current[random_.below(current.size())].id;
    std::string segment = segment_name(stream.name, id);
    if (!stream.appending.insert(segment).second) return;
    auto life = stream.life;
    auto looked = [this, &stream, segment, id, life](Result<container::SegmentInfo> info) {
        if (life != stream.life) return;
        if (info && !info->sealed) return append_at(stream, segment, id, info->length);
        stream.appending.erase(segment);
    };
    node_.segments().info(segment, node_.executor(), heard<container::SegmentInfo>(std::move(looked)));
}

void StreamClients::append_at(StreamModel& stream, std::string segment, StreamSegmentId id, std::int64_t offset) {
    std::uint64_t number = stream.new_event(std::nullopt, 0, {id, offset}, random_);
    auto life = stream.life;
    auto written = [this, &stream, segment, number, offset, life](Result<std::int64_t> end) {
        if (life != stream.life) return;
        stream.appending.erase(segment);
        EventModel& event = stream.events.at(number);
        if (end) event.told = Told::kYes;
        if (!end && is_refusal(end.error())) event.told = Told::kNo;
        if (end && *end != offset + static_cast<std::int64_t>(event.text.size()))
            violated(fmt::format("{}: an append at {} ends at {}", segment, offset, *end));
    };
    node_.segments().append_at(segment, offset, stream.events.at(number).text, node_.executor(),
                               heard<std::int64_t>(std::move(written)));
}

// Perhaps it waits at the end, also over the next rounds.
void StreamClients::read(StreamModel& stream) {
    constexpr std::size_t kReadsMost = 20;
    if (!stream.view.exists || reads_ >= kReadsMost) return;
    const auto& segments = stream.view.epochs[random_.below(stream.view.epochs.size())].segments;
    StreamSegmentId id = segments[random_.below(segments.size())].id;
    std::int64_t offset = 0;
    for (const auto& [number, event] : stream.events) {
        bool here = event.seen && event.seen->segment == id && random_.below(2) == 0;
        if (here) offset = event.seen->offset + static_cast<std::int64_t>(event.text.size());
    }
    std::string segment = segment_name(stream.name, id);
    auto& home = node_.node().container(static_cast<std::uint32_t>(node_.segments().container_for(segment).value()));
    ++reads_;
    auto done = [this, &stream, id, offset, of_stream = stream.life,
                 life = life_](Result<container::ReadResult> result) {
        if (life != life_) return;
        --reads_;
        if (of_stream != stream.life || !result) return;
        auto bytes = result->data.to_vector();
        auto wrong = stream.saw(id, offset, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        if (wrong) violated(*wrong);
    };
    home.read(segment, offset, 1 << 16, std::move(done));
}

// ---- the subscriber ----

void StreamClients::report(StreamModel& stream) {
    if (!stream.view.exists || !stream.subscribed || stream.report_under_way) return;
    SubscriberCut report{kSubscriber, generation_, kGroupId, stream.name, {}};
    bool backward =
        stream.reported.size() > 1 && stream.reported.front() != stream.reported.back() && random_.below(4) == 0;
    if (backward) {
        report.cut = stream.reported[random_.below(stream.reported.size() - 1)];
        backward = report.cut != stream.reported.back();
    }
    if (!backward) {
        StreamCut from = stream.view.head;
        if (!stream.reported.empty()) from = stream.reported.back();
        if (stream.reporting) from = *stream.reporting;
        report.cut = stream.walk(std::move(from), random_);
        stream.reporting = report.cut;
    }
    stream.report_under_way = true;
    auto life = stream.life;
    auto answered = [this, &stream, cut = report.cut, backward, life](Result<UpdateSubscriberStatus> status) {
        if (life != stream.life) return;
        stream.report_under_way = false;
        if (!status) return;
        bool taken = *status == UpdateSubscriberStatus::kSuccess;
        bool may_refuse = group_changes_ || changes_[stream.name.stream].what == What::kDelete;
        if (backward && taken) violated(controller::to_string(stream.name) + ": a report goes back, and is taken");
        if (!backward && !taken && !may_refuse)
            violated(fmt::format("{}: a report of{} behind{} is refused: {}", controller::to_string(stream.name),
                                 text_of(cut), stream.reported.empty() ? "" : text_of(stream.reported.back()),
                                 static_cast<int>(*status)));
        if (backward || !taken) return;
        ++reports_;
        stream.reported.push_back(cut);
        stream.reporting.reset();
    };
    auto done = heard<UpdateSubscriberStatus>(std::move(answered));
    if (planted_ == PlantedControl::kForgottenReport && random_.below(3) != 0)
        return done(UpdateSubscriberStatus::kSuccess);
    node_.controller().update_subscriber(std::move(report), std::move(done));
}

// The group follows the streams that there are; with retention, its subscriptions stay as they are.
void StreamClients::update_group() {
    if (group_changes_ || retains_) return;
    group_changes_ = true;
    ReaderGroupConfig config;
    config.id = kGroupId;
    config.retention = ReaderGroupRetention::kManual;
    config.generation = generation_;
    for (const std::string& name : existing_) config.start.push_back({{std::string(kScope), name}, {}});
    config.end = config.start;
    if (config.start.empty()) return;
    trace_.add(group_is_there_ ? "group: update" : "group: create");
    std::string scope(kScope);
    std::string group(kGroup);
    if (group_is_there_)
        node_.controller().update_reader_group(scope, group, config,
                                               heard<UpdateReaderGroupResult>([](const auto&) {}));
    else
        node_.controller().create_reader_group(scope, group, config,
                                               heard<CreateReaderGroupResult>([](const auto&) {}));
}

}  // namespace millrace::sim
