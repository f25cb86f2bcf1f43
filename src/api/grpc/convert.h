// Between the protocol's messages and the controller's values. Requests are checked here for what a message can express
// and a value cannot (unknown enum numbers, malformed ids); everything else the controller judges. Included only by
// this room's .cc files.
#pragma once

#include <string>

#include "base/error.h"
#include "controller.pb.h"
#include "controller/types.h"

namespace millrace::api {

namespace v1 = io::pravega::controller::stream::api::grpc::v1;

// ---- requests ----
controller::StreamName stream_name(const v1::StreamInfo& info);
controller::StreamCut stream_cut(const google::protobuf::Map<std::int64_t, std::int64_t>& cut);
Result<controller::StreamConfig> stream_config(const v1::StreamConfig& config);
Result<controller::ReaderGroupConfig> reader_group_config(const v1::ReaderGroupConfiguration& config);
Result<controller::SubscriberCut> subscriber_cut(const v1::SubscriberStreamCut& cut);

// ---- replies ----
void fill(const controller::StreamName& name, v1::StreamInfo* out);
void fill(const controller::StreamName& name, const controller::StreamConfig& config, v1::StreamConfig* out);
void fill(const controller::StreamName& name, const controller::SegmentRange& range, v1::SegmentRange* out);
void fill(const controller::StreamName& name, controller::StreamSegmentId id, v1::SegmentId* out);
void fill(const std::string& scope, const std::string& group, const controller::ReaderGroupConfig& config,
          v1::ReaderGroupConfiguration* out);
void fill(const controller::Endpoint& endpoint, v1::NodeUri* out);

}  // namespace millrace::api
