#include "api/grpc/convert.h"

#include <fmt/format.h>

#include "base/uuid.h"

namespace millrace::api {
namespace {

std::vector<controller::StreamPosition> positions(const google::protobuf::RepeatedPtrField<v1::StreamCut>& cuts) {
    std::vector<controller::StreamPosition> out;
    out.reserve(static_cast<std::size_t>(cuts.size()));
    for (const v1::StreamCut& cut : cuts) out.push_back({stream_name(cut.streaminfo()), stream_cut(cut.cut())});
    return out;
}

void fill_positions(const std::vector<controller::StreamPosition>& positions,
                    google::protobuf::RepeatedPtrField<v1::StreamCut>* out) {
    for (const controller::StreamPosition& position : positions) {
        v1::StreamCut* cut = out->Add();
        fill(position.stream, cut->mutable_streaminfo());
        for (const auto& [segment, offset] : position.cut) (*cut->mutable_cut())[segment.value()] = offset;
    }
}

Result<Uuid> group_id(const std::string& text) {
    auto id = parse_uuid(text);
    if (!id)
        return fail(Errc::kInvalidArgument, fmt::format("readerGroupId is not a UUID: \"{}\"", text.substr(0, 64)));
    return *id;
}

}  // namespace

controller::StreamName stream_name(const v1::StreamInfo& info) { return {info.scope(), info.stream()}; }

controller::StreamCut stream_cut(const google::protobuf::Map<std::int64_t, std::int64_t>& cut) {
    controller::StreamCut out;
    for (const auto& [segment, offset] : cut) out.emplace(controller::StreamSegmentId(segment), offset);
    return out;
}

Result<controller::StreamConfig> stream_config(const v1::StreamConfig& config) {
    controller::StreamConfig out;
    const v1::ScalingPolicy& scaling = config.scalingpolicy();
    if (!v1::ScalingPolicy::ScalingPolicyType_IsValid(scaling.scaletype())) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("scalingPolicy.scaleType is unknown: {}", static_cast<int>(scaling.scaletype())));
    }
    out.scaling = {static_cast<controller::ScalingType>(scaling.scaletype()), scaling.targetrate(),
                   scaling.scalefactor(), scaling.minnumsegments()};
    if (config.has_retentionpolicy()) {
        const v1::RetentionPolicy& retention = config.retentionpolicy();
        switch (retention.retentiontype()) {
            case v1::RetentionPolicy::UNKNOWN:
                break;  // old clients' way to say "none"
            case v1::RetentionPolicy::TIME:
            case v1::RetentionPolicy::SIZE:
                out.retention =
                    controller::RetentionPolicy{static_cast<controller::RetentionType>(retention.retentiontype()),
                                                retention.retentionparam(), retention.retentionmax()};
                break;
            default:
                return fail(Errc::kInvalidArgument, fmt::format("retentionPolicy.retentionType is unknown: {}",
                                                                static_cast<int>(retention.retentiontype())));
        }
    }
    out.tags.assign(config.tags().tag().begin(), config.tags().tag().end());
    out.timestamp_aggregation_ms = config.timestampaggregationtimeout();
    out.rollover_bytes = config.rolloversizebytes();
    return out;
}

Result<controller::ReaderGroupConfig> reader_group_config(const v1::ReaderGroupConfiguration& config) {
    auto id = group_id(config.readergroupid());
    if (!id) return std::unexpected(id.error());
    if (config.retentiontype() < 0 || config.retentiontype() > 2) {
        return fail(Errc::kInvalidArgument, fmt::format("retentionType is unknown: {}", config.retentiontype()));
    }
    controller::ReaderGroupConfig out;
    out.refresh_ms = config.grouprefreshtimemillis();
    out.checkpoint_interval_ms = config.automaticcheckpointintervalmillis();
    out.max_outstanding_checkpoints = config.maxoutstandingcheckpointrequest();
    out.retention = static_cast<controller::ReaderGroupRetention>(config.retentiontype());
    out.generation = config.generation();
    out.id = *id;
    out.start = positions(config.startingstreamcuts());
    out.end = positions(config.endingstreamcuts());
    return out;
}

Result<controller::SubscriberCut> subscriber_cut(const v1::SubscriberStreamCut& cut) {
    auto id = group_id(cut.readergroupid());
    if (!id) return std::unexpected(id.error());
    return controller::SubscriberCut{cut.subscriber(), cut.generation(), *id, stream_name(cut.streamcut().streaminfo()),
                                     stream_cut(cut.streamcut().cut())};
}

void fill(const controller::StreamName& name, v1::StreamInfo* out) {
    out->set_scope(name.scope);
    out->set_stream(name.stream);
}

void fill(const controller::StreamName& name, const controller::StreamConfig& config, v1::StreamConfig* out) {
    fill(name, out->mutable_streaminfo());
    v1::ScalingPolicy* scaling = out->mutable_scalingpolicy();
    scaling->set_scaletype(static_cast<v1::ScalingPolicy::ScalingPolicyType>(config.scaling.type));
    scaling->set_targetrate(config.scaling.target_rate);
    scaling->set_scalefactor(config.scaling.scale_factor);
    scaling->set_minnumsegments(config.scaling.min_segments);
    if (config.retention) {
        v1::RetentionPolicy* retention = out->mutable_retentionpolicy();
        retention->set_retentiontype(static_cast<v1::RetentionPolicy::RetentionPolicyType>(config.retention->type));
        retention->set_retentionparam(config.retention->param);
        retention->set_retentionmax(config.retention->max);
    }
    v1::Tags* tags = out->mutable_tags();
    for (const std::string& tag : config.tags) tags->add_tag(tag);
    out->set_timestampaggregationtimeout(config.timestamp_aggregation_ms);
    out->set_rolloversizebytes(config.rollover_bytes);
}

void fill(const controller::StreamName& name, controller::StreamSegmentId id, v1::SegmentId* out) {
    fill(name, out->mutable_streaminfo());
    out->set_segmentid(id.value());
}

void fill(const controller::StreamName& name, const controller::SegmentRange& range, v1::SegmentRange* out) {
    fill(name, range.id, out->mutable_segmentid());
    out->set_minkey(range.min_key);
    out->set_maxkey(range.max_key);
}

void fill(const std::string& scope, const std::string& group, const controller::ReaderGroupConfig& config,
          v1::ReaderGroupConfiguration* out) {
    out->set_scope(scope);
    out->set_readergroupname(group);
    out->set_grouprefreshtimemillis(config.refresh_ms);
    out->set_automaticcheckpointintervalmillis(config.checkpoint_interval_ms);
    out->set_maxoutstandingcheckpointrequest(config.max_outstanding_checkpoints);
    out->set_retentiontype(static_cast<std::int32_t>(config.retention));
    out->set_generation(config.generation);
    out->set_readergroupid(to_string(config.id));
    fill_positions(config.start, out->mutable_startingstreamcuts());
    fill_positions(config.end, out->mutable_endingstreamcuts());
}

void fill(const controller::Endpoint& endpoint, v1::NodeUri* out) {
    out->set_endpoint(endpoint.host);
    out->set_port(endpoint.port);
}

}  // namespace millrace::api
