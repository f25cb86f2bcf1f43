#include "store/error_replies.h"

#include <gtest/gtest.h>

#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::store {
namespace {

using wire::CommandType;

constexpr Errc kLast = Errc::kConflict;

std::optional<wire::Reply> answer(const RequestContext& context, const Error& error) {
    std::vector<std::uint8_t> out;
    bytes::Writer writer(out);
    if (!encode_error(context, error, writer)) {
        EXPECT_TRUE(out.empty());
        return std::nullopt;
    }
    wire::FrameParser frames(out);
    auto frame = frames.next();
    EXPECT_TRUE(frame && *frame);
    EXPECT_EQ(frames.consumed(), out.size());
    auto reply = wire::decode_reply((*frame)->type, (*frame)->payload);
    EXPECT_TRUE(reply);
    return *reply;
}

TEST(ErrorReplies, EveryCodeHasOneAnswerForEveryRequest) {
    for (std::int32_t code = wire::kLowestCode; code <= wire::kHighestCode; ++code) {
        if (!wire::is_known(code) || !wire::is_request(static_cast<CommandType>(code))) continue;
        for (int errc = 0; errc <= static_cast<int>(kLast); ++errc) {
            RequestContext context{static_cast<CommandType>(code), 7, "a/b/0", 3};
            bool answered = answer(context, Error(static_cast<Errc>(errc), 12)).has_value();
            EXPECT_EQ(answered, error_reply(context.command, static_cast<Errc>(errc)) != ErrorReply::kNone);
        }
    }
}

TEST(ErrorReplies, CarryTheRequestsIdSegmentAndOffset) {
    RequestContext read{CommandType::kReadSegment, 7, "a/b/0", 33};
    auto missing = std::get<wire::NoSuchSegment>(*answer(read, Errc::kNotFound));
    EXPECT_EQ(missing.request_id, 7);
    EXPECT_EQ(missing.segment, "a/b/0");
    EXPECT_EQ(missing.offset, 33);
    EXPECT_EQ(missing.server_stack_trace, "");
    EXPECT_EQ(std::get<wire::SegmentIsSealed>(*answer(read, Errc::kSealed)).offset, 33);
    auto truncated = std::get<wire::SegmentIsTruncated>(*answer(read, Error(Errc::kTruncated, 44)));
    EXPECT_EQ(truncated.start_offset, 44);
    EXPECT_EQ(truncated.offset, 33);
    EXPECT_TRUE(std::holds_alternative<wire::NoSuchSegment>(*answer(read, Errc::kMerged)));

    RequestContext create{CommandType::kCreateSegment, 8, "a/b/0", -1};
    EXPECT_EQ(std::get<wire::SegmentAlreadyExists>(*answer(create, Errc::kExists)).request_id, 8);
    RequestContext update{CommandType::kUpdateSegmentAttribute, 9, "a/b/0", -1};
    EXPECT_FALSE(std::get<wire::SegmentAttributeUpdated>(*answer(update, Errc::kBadAttribute)).success);
    auto illegal = std::get<wire::ErrorMessage>(*answer(update, Error(Errc::kInvalidArgument, "no")));
    EXPECT_EQ(illegal.error_code, wire::kErrorIllegalArgument);
    EXPECT_EQ(illegal.message, "invalid argument: no");
    auto full = std::get<wire::ErrorMessage>(*answer(create, Error(Errc::kNoSpace, "the log is full")));
    EXPECT_EQ(full.request_id, 8);
    EXPECT_EQ(full.segment, "a/b/0");
    EXPECT_EQ(full.error_code, wire::kErrorUnspecified) << "nothing is wrong with the request";
    EXPECT_NE(full.message.find("the log is full"), std::string::npos);
    auto damage = std::get<wire::ErrorMessage>(*answer(read, Error(Errc::kCorrupt, "object o, at byte 5")));
    EXPECT_EQ(damage.error_code, wire::kErrorUnspecified);
    EXPECT_NE(damage.message.find("object o, at byte 5"), std::string::npos) << "others read through this connection";
    for (CommandType command : {CommandType::kReadTable, CommandType::kUpdateTableEntries, CommandType::kReadTableKeys,
                                CommandType::kGetSegmentAttribute}) {
        EXPECT_EQ(error_reply(command, Errc::kCorrupt), ErrorReply::kErrorMessageUnspecified);
    }
    EXPECT_EQ(error_reply(CommandType::kReadTableKeys, Errc::kInvalidArgument), ErrorReply::kNone) << "a token";
    RequestContext table{CommandType::kReadTableEntriesDelta, 10, "a/b/0", -1};
    EXPECT_EQ(std::get<wire::OperationUnsupported>(*answer(table, Errc::kUnsupported)).operation_name,
              "readTableEntriesDelta");
    EXPECT_EQ(std::get<wire::TableKeyBadVersion>(*answer(table, Errc::kBadVersion)).request_id, 10);
    EXPECT_EQ(std::get<wire::TableKeyDoesNotExist>(*answer(table, Errc::kNoKey)).request_id, 10);
}

TEST(ErrorReplies, WhatReleaseThirteenAnswersWithAClose) {
    EXPECT_EQ(error_reply(CommandType::kReadSegment, Errc::kInvalidArgument), ErrorReply::kNone);
    EXPECT_EQ(error_reply(CommandType::kTruncateSegment, Errc::kInvalidArgument), ErrorReply::kNone);
    EXPECT_EQ(error_reply(CommandType::kMergeSegments, Errc::kTruncated), ErrorReply::kNone);
    EXPECT_EQ(error_reply(CommandType::kSealSegment, Errc::kClosed), ErrorReply::kNone);
    EXPECT_EQ(error_reply(CommandType::kSealSegment, Errc::kIo), ErrorReply::kNone);
}

}  // namespace
}  // namespace millrace::store
