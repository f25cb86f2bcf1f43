// The REST API's JSON for streams, to and from the controller's vocabulary. Null counts as absent, unknown fields are
// ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <boost/json/object.hpp>

#include "base/error.h"
#include "controller/types.h"

namespace millrace::rest {

// A request's body; kInvalidArgument when it is no JSON object.
Result<boost::json::object> parse_object(std::string_view body);

// A field that must be text; kInvalidArgument when it is missing or something else.
Result<std::string> text_field(const boost::json::object& object, std::string_view name);

// scalingPolicy, retentionPolicy, streamTags, timestampAggregationTimeout, rolloverSizeBytes of a create or update
// request.
Result<controller::StreamConfig> parse_stream_config(const boost::json::object& request);

boost::json::object retention_json(const controller::RetentionPolicy& policy);
boost::json::object stream_property(const controller::StreamName& name, const controller::StreamConfig& config);

// Scaling events of a stream whose epochs are given, all of them from the first: those that began in [from_ms, to_ms],
// and the last one before.
boost::json::array scaling_events(const std::vector<controller::Epoch>& epochs, std::int64_t from_ms,
                                  std::int64_t to_ms);

}  // namespace millrace::rest
