// What is asked of segments as a whole: states, attributes, policies, merges.
#include <algorithm>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/uuid.h"
#include "store/connection.h"
#include "wire/modified_utf8.h"

namespace millrace::store {

using container::SegmentContainer;
using wire::CommandType;

namespace {

bool may_be_changed(const Uuid& attribute) {
    return attribute != container::kSegmentType && attribute != container::kAttributeIdLength;
}

Error unchangeable(const Uuid& attribute) {
    return {Errc::kInvalidArgument, fmt::format("attribute {} cannot be changed", to_string(attribute))};
}

}  // namespace

bool StoreConnection::can_be_named(const std::string& name) {
    return wire::measure_modified_utf8(name, wire::kMaxSegmentNameBytes).source_bytes == name.size();
}

Error StoreConnection::too_long_a_name() {
    return {Errc::kLimit, fmt::format("the segment's name has more than {} bytes", wire::kMaxSegmentNameBytes)};
}

void StoreConnection::handle(wire::Hello& request) {
    reply(wire::Hello{});
    if (!request.compatible()) {
        break_off(fmt::format("HELLO: it speaks versions {} to {}, this server {} to {}", request.low_version,
                              request.high_version, wire::kOldestWireVersion, wire::kWireVersion));
    }
}

void StoreConnection::handle(wire::GetStreamSegmentInfo& request) {
    std::int64_t id = request.request_id;
    serve<container::SegmentInfo>(
        CommandType::kGetStreamSegmentInfo, id, request.segment, -1,
        [segment = request.segment](SegmentContainer& c, auto done) { c.info(segment, std::move(done)); },
        [this, id](std::string segment, const container::SegmentInfo& info) {
            reply(wire::StreamSegmentInfo{id, std::move(segment), true, info.sealed, false, info.last_modified_ms,
                                          info.length, info.start_offset});
        });
}

void StoreConnection::handle(wire::CreateSegment& request) {
    std::int64_t id = request.request_id;
    if (request.segment.empty()) return break_off("CREATE_SEGMENT: the name is empty");
    if (!can_be_named(request.segment)) {
        return reply_error({CommandType::kCreateSegment, id, request.segment, -1}, too_long_a_name());
    }
    container::CreateOptions options{request.scale_type, request.target_rate,
                                     std::max<std::int64_t>(request.rollover_size_bytes, 0), false};
    serve<void>(
        CommandType::kCreateSegment, id, request.segment, -1,
        [segment = request.segment, options](SegmentContainer& c, auto done) mutable {
            c.create(std::move(segment), options, std::move(done));
        },
        [this, id](std::string segment) { reply(wire::SegmentCreated{id, std::move(segment)}); });
}

// A large event is written to a segment of its own and then merged. What was not merged goes with the connection.
void StoreConnection::handle(wire::CreateTransientSegment& request) {
    std::int64_t id = request.request_id;
    std::string name = fmt::format("{}#transient.{}.{}", request.parent_segment, to_hex(request.writer_id),
                                   to_hex(loop_.executor.random().uuid()));
    if (!can_be_named(name)) {
        return reply_error({CommandType::kCreateTransientSegment, id, request.parent_segment, -1}, too_long_a_name());
    }
    if (!take_standing("CREATE_TRANSIENT_SEGMENT", name)) return;
    Lane& lane = lane_of(name);
    ask<void>(
        lane,
        [name](SegmentContainer& c, auto done) mutable {
            container::CreateOptions options;
            options.transient = true;
            c.create(std::move(name), options, std::move(done));
        },
        [this, id, name](Result<> result) mutable {
            if (!result || !open_) give_standing(name);
            if (!result) return reply_error({CommandType::kCreateTransientSegment, id, name, -1}, result.error());
            if (!open_) return remove_transient(name);
            transient_segments_.insert(name);
            reply(wire::SegmentCreated{id, std::move(name)});
        });
}

void StoreConnection::remove_transient(const std::string& name) {
    request_charge_ = 0;
    ask<void>(
        lane_of(name), [name](SegmentContainer& c, auto done) mutable { c.remove(std::move(name), std::move(done)); },
        [](const Result<>&) {});
}

void StoreConnection::forget_transient(const std::string& name) {
    if (transient_segments_.erase(name) > 0) give_standing(name);
}

void StoreConnection::handle(wire::SealSegment& request) {
    std::int64_t id = request.request_id;
    serve<std::int64_t>(
        CommandType::kSealSegment, id, request.segment, -1,
        [segment = request.segment](SegmentContainer& c, auto done) mutable {
            c.seal(std::move(segment), std::move(done));
        },
        [this, id](std::string segment, std::int64_t) { reply(wire::SegmentSealed{id, std::move(segment)}); });
}

void StoreConnection::handle(wire::DeleteSegment& request) {
    std::int64_t id = request.request_id;
    serve<void>(
        CommandType::kDeleteSegment, id, request.segment, -1,
        [segment = request.segment](SegmentContainer& c, auto done) mutable {
            c.remove(std::move(segment), std::move(done));
        },
        [this, id](std::string segment) {
            forget_transient(segment);
            reply(wire::SegmentDeleted{id, std::move(segment)});
        });
}

void StoreConnection::handle(wire::TruncateSegment& request) {
    std::int64_t id = request.request_id;
    std::int64_t offset = request.truncation_offset;
    if (offset < 0)
        return break_off(fmt::format("TRUNCATE_SEGMENT of {}: negative offset {}", request.segment, offset));
    serve<void>(
        CommandType::kTruncateSegment, id, request.segment, offset,
        [segment = request.segment, offset](SegmentContainer& c, auto done) mutable {
            c.truncate(std::move(segment), offset, std::move(done));
        },
        [this, id](std::string segment) { reply(wire::SegmentTruncated{id, std::move(segment)}); });
}

// ---- attributes ----

void StoreConnection::handle(wire::UpdateSegmentPolicy& request) {
    std::int64_t id = request.request_id;
    auto updates = policy_updates(request.scale_type, request.target_rate);
    serve<void>(
        CommandType::kUpdateSegmentPolicy, id, request.segment, -1,
        [segment = request.segment, updates = std::move(updates)](SegmentContainer& c, auto done) mutable {
            c.update_attributes(std::move(segment), std::move(updates), std::move(done));
        },
        [this, id](std::string segment) { reply(wire::SegmentPolicyUpdated{id, std::move(segment)}); });
}

void StoreConnection::handle(wire::GetSegmentAttribute& request) {
    std::int64_t id = request.request_id;
    serve<std::int64_t>(
        CommandType::kGetSegmentAttribute, id, request.segment, -1,
        [segment = request.segment, attribute = request.attribute_id](SegmentContainer& c, auto done) {
            c.attribute(segment, attribute, std::move(done));
        },
        [this, id](const std::string&, std::int64_t value) { reply(wire::SegmentAttribute{id, value}); });
}

void StoreConnection::handle(wire::UpdateSegmentAttribute& request) {
    std::int64_t id = request.request_id;
    RequestContext context{CommandType::kUpdateSegmentAttribute, id, request.segment, -1};
    if (!may_be_changed(request.attribute_id)) return reply_error(context, unchangeable(request.attribute_id));
    container::AttributeUpdate update{request.attribute_id, container::AttributeUpdateType::kReplaceIfEquals,
                                      request.new_value, request.expected_value};
    serve<void>(
        context.command, id, request.segment, -1,
        [segment = request.segment, update](SegmentContainer& c, auto done) mutable {
            std::vector<container::AttributeUpdate> updates(1, update);
            c.update_attributes(std::move(segment), std::move(updates), std::move(done));
        },
        [this, id](const std::string&) { reply(wire::SegmentAttributeUpdated{id, true}); });
}

// ---- merges ----

// Errors name the source.
void StoreConnection::handle(wire::MergeSegments& request) {
    std::int64_t id = request.request_id;
    RequestContext context{CommandType::kMergeSegments, id, request.source, -1};
    std::vector<container::AttributeUpdate> updates;
    updates.reserve(request.attribute_updates.size());
    for (const wire::CondAttrUpdate& update : request.attribute_updates) {
        if (update.update_type < 0 ||
            update.update_type > static_cast<int>(container::AttributeUpdateType::kReplaceIfEquals)) {
            return break_off(fmt::format("MERGE_SEGMENTS: unknown attribute update type {}", update.update_type));
        }
        if (!may_be_changed(update.attribute_id)) return reply_error(context, unchangeable(update.attribute_id));
        updates.push_back({update.attribute_id, static_cast<container::AttributeUpdateType>(update.update_type),
                           update.new_value, update.old_value});
    }
    Lane& lane = lane_of(request.target);
    ask<std::int64_t>(
        lane,
        [target = request.target, source = request.source, updates = std::move(updates)](SegmentContainer& c,
                                                                                         auto done) mutable {
            c.merge(std::move(target), std::move(source), std::move(updates), std::move(done));
        },
        [this, id, target = request.target, source = request.source](Result<std::int64_t> end) mutable {
            if (!end) return reply_error({CommandType::kMergeSegments, id, source, -1}, end.error());
            forget_transient(source);
            reply(wire::SegmentsMerged{id, std::move(target), std::move(source), *end});
        });
}

// Errors name the target.
void StoreConnection::handle(wire::MergeSegmentsBatch& request) {
    std::int64_t id = request.request_id;
    wire::SegmentsBatchMerged merged{id, request.target, {}};
    merged.sources.reserve(request.sources.size());
    for (const std::string& source : request.sources) merged.sources.push_back({source, 0});
    // Before it is done: the reply is longer than the request.
    if (wire::frame_size(merged) > wire::kFrameHeaderBytes + wire::kMaxPayloadSent) {
        Error too_long(Errc::kLimit, "too many sources for one reply");
        return reply_error({CommandType::kMergeSegmentsBatch, id, request.target, -1}, too_long);
    }
    using Ends = std::vector<std::int64_t>;
    serve<Ends>(
        CommandType::kMergeSegmentsBatch, id, request.target, -1,
        [target = request.target, sources = std::move(request.sources)](SegmentContainer& c, auto done) mutable {
            c.merge_batch(std::move(target), std::move(sources), std::move(done));
        },
        [this, merged = std::move(merged)](const std::string&, const Ends& ends) mutable {
            MILLRACE_ASSERT(ends.size() == merged.sources.size());
            for (std::size_t i = 0; i < ends.size(); ++i) {
                merged.sources[i].new_target_write_offset = ends[i];
                forget_transient(merged.sources[i].source);
            }
            reply(merged);
        });
}

// ---- what cannot arrive here (see take_frame) ----

template <wire::Command C>
void StoreConnection::handle(C&) {
    break_off(fmt::format("{} is not expected here", wire::to_string(C::kType)));
}

void StoreConnection::dispatch(wire::Request& request) {
    std::visit([this](auto& command) { handle(command); }, request);
}

}  // namespace millrace::store
