// Requests that no client in its right mind sends: for tests. Made by reflection from the protocol, so an RPC or a
// field that is added to it is covered at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace millrace::api {

// The names that requests which make sense in most respects are about. A test makes what they name.
inline constexpr const char* kHostileScope = "s";
inline constexpr const char* kHostileStream = "x";
inline constexpr const char* kHostileGroup = "g";
inline constexpr const char* kHostileTable = "t";

const google::protobuf::ServiceDescriptor& controller_service();

// Encoded requests for one RPC: an empty one, a plausible one, the plausible one with each of its fields in turn set to
// each of the values that its type makes one afraid of, some with several such fields (from `seed`), and some that are
// no message at all.
std::vector<std::string> hostile_requests(const google::protobuf::MethodDescriptor& rpc, unsigned seed);

std::unique_ptr<google::protobuf::Message> new_message(const google::protobuf::Descriptor& type);

}  // namespace millrace::api
