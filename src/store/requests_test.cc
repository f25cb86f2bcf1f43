// Reads and requests about segments: every reply that is offered, and what release 0.13 does in their odd cases.
#include <gtest/gtest.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

using container::kEventCount;

struct RequestsTest : testing::TestWithParam<bool> {
    Harness h{GetParam()};
    TestClient& client = h.connect();

    TestClient& connect() { return h.connect(); }
    void make(const std::string& segment, std::string_view data = "") {
        client.call<wire::SegmentCreated>(create(segment));
        if (data.empty()) return;
        Uuid writer{77, ++last_writer};
        client.call<wire::AppendSetup>(setup(segment, writer));
        client.call<wire::DataAppended>(append(1, data, writer));
    }
    template <typename C>
    void expect_close(const C& command) {
        TestClient& other = connect();
        other.send(command);
        EXPECT_TRUE(other.replies().empty());
        EXPECT_TRUE(other.closed());
    }
    // A name of zeros: received as one byte each, they are two in a reply, and do not fit.
    template <typename C>
    void expect_unsayable(const C& command) {
        std::vector<std::uint8_t> frame;
        bytes::Writer out(frame);
        wire::encode(command, out);
        std::ranges::replace(frame, std::uint8_t{'z'}, std::uint8_t{0});
        client.send_bytes(frame);
        auto replies = client.replies();
        ASSERT_EQ(replies.size(), 1u);
        ASSERT_NE(replies[0].as<wire::ErrorMessage>(), nullptr);
        EXPECT_EQ(replies[0].as<wire::ErrorMessage>()->error_code, wire::kErrorIllegalArgument);
    }
    std::int64_t attribute(const std::string& segment, const Uuid& id) {
        return client.call<wire::SegmentAttribute>(wire::GetSegmentAttribute{kRequest, segment, id, ""}).value;
    }
    std::uint64_t last_writer = 0;
};

INSTANTIATE_TEST_SUITE_P(Containers, RequestsTest, testing::Bool(),
                         [](const auto& param) { return param.param ? "OnAnotherCore" : "OnTheSameCore"; });

const std::string kContent = "0123456789abcdefghij";
const std::string kTransaction = kSegment + "#transaction.00000000000000010000000000000001";
const std::string kTransaction2 = kSegment + "#transaction.00000000000000010000000000000002";

// ---- segments ----

TEST_P(RequestsTest, CreateSealTruncateDelete) {
    make(kSegment, kContent);
    EXPECT_EQ(client.call<wire::SegmentAlreadyExists>(create(kSegment, 3)).request_id, 3);
    EXPECT_EQ(client.call<wire::SegmentTruncated>(truncate(kSegment, 4)).segment, kSegment);
    client.call<wire::SegmentTruncated>(truncate(kSegment, 4));
    auto low = client.call<wire::SegmentIsTruncated>(truncate(kSegment, 3));
    EXPECT_EQ(low.start_offset, 4);
    EXPECT_EQ(low.offset, 3);
    EXPECT_EQ(client.call<wire::SegmentIsTruncated>(truncate(kSegment, 21)).offset, 21);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(truncate("none", 5)).offset, 5);
    expect_close(truncate(kSegment, -1));

    EXPECT_EQ(client.call<wire::SegmentSealed>(seal(kSegment)).segment, kSegment);
    EXPECT_EQ(client.call<wire::SegmentIsSealed>(seal(kSegment)).offset, -1);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(seal("none")).offset, -1);
    client.call<wire::SegmentTruncated>(truncate(kSegment, 20));
    auto state = client.call<wire::StreamSegmentInfo>(info(kSegment));
    EXPECT_TRUE(state.exists);
    EXPECT_TRUE(state.is_sealed);
    EXPECT_FALSE(state.is_deleted);
    EXPECT_EQ(state.write_offset, 20);
    EXPECT_EQ(state.start_offset, 20);
    EXPECT_GT(state.last_modified, 0);

    EXPECT_EQ(client.call<wire::SegmentDeleted>(remove(kSegment)).segment, kSegment);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(remove(kSegment)).offset, -1);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(info(kSegment)).offset, -1);
    client.call<wire::SegmentCreated>(create(kSegment));
}

TEST_P(RequestsTest, NamesOfAnyForm) {
    for (const std::string& name : {std::string("x"), std::string("a/b/c/d/e"), std::string("sp ace"),
                                    std::string("\u00fc"), std::string(300, 'n')}) {
        EXPECT_EQ(client.call<wire::SegmentCreated>(create(name)).segment, name);
        EXPECT_TRUE(client.call<wire::StreamSegmentInfo>(info(name)).exists);
    }
    expect_close(create(""));
}

TEST_P(RequestsTest, NamesOfAnyLengthThatTheFieldHolds) {
    for (std::size_t size : {4'097u, 5'000u, 8'193u, 65'535u}) {
        std::string name(size, 'n');
        EXPECT_EQ(client.call<wire::SegmentCreated>(create(name)).segment, name);
        EXPECT_TRUE(client.call<wire::StreamSegmentInfo>(info(name)).exists);
        EXPECT_EQ(client.call<wire::AppendSetup>(setup(name)).segment, name);
        EXPECT_EQ(client.call<wire::SegmentDeleted>(remove(name)).segment, name);
    }
    // The name of a transient segment is longer than its parent's.
    std::string parent(65'500, 'p');
    auto refused = client.call<wire::ErrorMessage>(wire::CreateTransientSegment{9, kWriter, parent, ""});
    EXPECT_EQ(refused.request_id, 9);
    EXPECT_EQ(refused.error_code, wire::kErrorIllegalArgument);
    // Java writes U+0000 as two bytes, and so do we: received as one byte each, these do not fit into the reply.
    expect_unsayable(create(std::string(40'000, 'z')));
}

TEST_P(RequestsTest, ATableWhoseNameNoReplyCouldSayIsRefused) {
    expect_unsayable(wire::CreateTableSegment{9, std::string(40'000, 'z'), "", false, 0, 0});
}

// The type of a segment is an attribute: an append must not make a table of it.
TEST_P(RequestsTest, AWriterIsNotNamedAfterASegmentsOwnAttribute) {
    make(kSegment, kContent);
    for (const Uuid& own : {container::kSegmentType, kEventCount, container::core_attribute(0x100000)}) {
        auto refused = client.call<wire::ErrorMessage>(setup(kSegment, own));
        EXPECT_EQ(refused.error_code, wire::kErrorIllegalArgument);
    }
    EXPECT_EQ(attribute(kSegment, container::kSegmentType), 0);
    EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).data), kContent);
}

TEST_P(RequestsTest, ScaleTypesAreSigned) {
    client.call<wire::SegmentCreated>(wire::CreateSegment{kRequest, kSegment, -5, -3, "", 0});
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyType), -3);
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyRate), -5);
    client.call<wire::SegmentPolicyUpdated>(wire::UpdateSegmentPolicy{kRequest, kSegment, -6, -4, ""});
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyType), -4);
}

TEST_P(RequestsTest, RequestsReachAContainerInOrder) {
    client.send(create(kSegment, 1), setup(kSegment), append(1, "abc"), seal(kSegment, 2), truncate(kSegment, 3, 3));
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 5u);
    for (const Received& reply : replies) EXPECT_EQ(reply.as<wire::NoSuchSegment>(), nullptr) << reply.reply.index();
    EXPECT_EQ(client.call<wire::StreamSegmentInfo>(info(kSegment)).start_offset, 3);
}

// Said, not shown by a closed connection: the client can tell its user.
TEST_P(RequestsTest, WhatAFullLogRefusesIsAnswered) {
    make(kSegment, kContent);
    make(kTransaction, "source");
    for (container::MemoryLog* log : h.logs) log->set_full(true);
    auto expect_refused = [&](const auto& command) {
        auto reply = client.call<wire::ErrorMessage>(command);
        EXPECT_EQ(reply.request_id, 9);
        EXPECT_EQ(reply.error_code, wire::kErrorUnspecified);
        EXPECT_NE(reply.message.find("log is full"), std::string::npos) << reply.message;
    };
    expect_refused(create("another", 9));
    expect_refused(wire::CreateTransientSegment{9, kWriter, kSegment, ""});
    expect_refused(wire::MergeSegments{9, kSegment, kTransaction, "", {}});
    expect_refused(wire::MergeSegmentsBatch{9, kSegment, {kTransaction}, ""});
    expect_refused(wire::UpdateSegmentAttribute{9, kSegment, Uuid{5, 5}, 1, kNullAttribute, ""});
    expect_refused(wire::UpdateSegmentPolicy{9, kSegment, 50, 1, ""});
    EXPECT_FALSE(client.closed());
    EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).data), kContent);
    client.call<wire::SegmentTruncated>(truncate(kSegment, 4));
    client.call<wire::SegmentDeleted>(remove(kTransaction));
    for (container::MemoryLog* log : h.logs) log->set_full(false);
    client.call<wire::SegmentCreated>(create("another", 9));
}

// ---- attributes ----

TEST_P(RequestsTest, AttributesAreComparedAndSet) {
    make(kSegment);
    Uuid id{5, 5};
    auto update = [&](std::int64_t value, std::int64_t expected) {
        return client
            .call<wire::SegmentAttributeUpdated>(
                wire::UpdateSegmentAttribute{kRequest, kSegment, id, value, expected, ""})
            .success;
    };
    EXPECT_EQ(attribute(kSegment, id), kNullAttribute);
    EXPECT_FALSE(update(10, 3));
    EXPECT_TRUE(update(10, kNullAttribute));
    EXPECT_FALSE(update(30, 20));
    EXPECT_TRUE(update(20, 10));
    EXPECT_EQ(attribute(kSegment, id), 20);
    EXPECT_TRUE(update(kNullAttribute, 20));
    EXPECT_EQ(attribute(kSegment, id), kNullAttribute);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(wire::GetSegmentAttribute{kRequest, "none", id, ""}).offset, -1);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(wire::UpdateSegmentAttribute{kRequest, "none", id, 1, 1, ""}).offset,
              -1);
    client.call<wire::SegmentSealed>(seal(kSegment));
    EXPECT_EQ(
        client.call<wire::SegmentIsSealed>(wire::UpdateSegmentAttribute{kRequest, kSegment, id, 1, kNullAttribute, ""})
            .offset,
        -1);
    EXPECT_EQ(attribute(kSegment, id), kNullAttribute);
}

TEST_P(RequestsTest, TypeAndIdLengthAreNotForClientsToChange) {
    make(kSegment);
    for (Uuid id : {container::kSegmentType, container::kAttributeIdLength}) {
        auto reply =
            client.call<wire::ErrorMessage>(wire::UpdateSegmentAttribute{9, kSegment, id, 1, kNullAttribute, ""});
        EXPECT_EQ(reply.error_code, wire::kErrorIllegalArgument);
        EXPECT_EQ(reply.request_id, 9);
    }
    EXPECT_EQ(attribute(kSegment, container::kSegmentType), 0);
}

TEST_P(RequestsTest, CoreAttributesAndPolicy) {
    wire::CreateSegment request = create(kSegment);
    request.scale_type = 2;
    request.target_rate = -5;
    request.rollover_size_bytes = -1;
    client.call<wire::SegmentCreated>(request);
    EXPECT_GT(attribute(kSegment, container::kCreationTime), 0);
    EXPECT_EQ(attribute(kSegment, kEventCount), kNullAttribute);
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyType), 2);
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyRate), -5);
    EXPECT_EQ(attribute(kSegment, container::kRolloverSize), 0);
    EXPECT_EQ(attribute(kSegment, container::kSegmentType), 0);
    EXPECT_EQ(client.call<wire::SegmentPolicyUpdated>(wire::UpdateSegmentPolicy{8, kSegment, 50, 77, ""}).request_id,
              8);
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyType), 77);
    EXPECT_EQ(attribute(kSegment, container::kScalePolicyRate), 50);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(wire::UpdateSegmentPolicy{8, "none", 50, 1, ""}).offset, -1);
    client.call<wire::AppendSetup>(setup(kSegment));
    client.call<wire::DataAppended>(append(7, "abc", kWriter, kRequest, 7));
    EXPECT_EQ(attribute(kSegment, kEventCount), 7);
    EXPECT_EQ(attribute(kSegment, kWriter), 7);
    client.call<wire::SegmentSealed>(seal(kSegment));
    EXPECT_EQ(client.call<wire::SegmentIsSealed>(wire::UpdateSegmentPolicy{8, kSegment, 50, 1, ""}).offset, -1);
}

// ---- merges ----

TEST_P(RequestsTest, Merge) {
    make(kSegment, "target,");
    make(kTransaction, "source");
    Uuid id{5, 5};
    wire::MergeSegments merge{kRequest, kSegment, kTransaction, "", {{id, 4, 1, 9}}};
    EXPECT_FALSE(client.call<wire::SegmentAttributeUpdated>(merge).success);
    EXPECT_TRUE(client.call<wire::StreamSegmentInfo>(info(kTransaction)).is_sealed) << "refused, and yet sealed";
    merge.attribute_updates[0].update_type = 5;
    expect_close(merge);
    merge.attribute_updates[0] = {container::kSegmentType, 1, 1, 0};
    EXPECT_EQ(client.call<wire::ErrorMessage>(merge).segment, kTransaction);
    merge.attribute_updates[0] = {id, 4, 6, kNullAttribute};
    auto merged = client.call<wire::SegmentsMerged>(merge);
    EXPECT_EQ(merged.target, kSegment);
    EXPECT_EQ(merged.source, kTransaction);
    EXPECT_EQ(merged.new_target_write_offset, 13);
    EXPECT_EQ(attribute(kSegment, id), 6);
    client.call<wire::NoSuchSegment>(info(kTransaction));
    merge.attribute_updates.clear();
    EXPECT_EQ(client.call<wire::SegmentsMerged>(merge).new_target_write_offset, 13) << "again";
    EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).data), "target,source");
    // A merged segment is as good as missing to everybody else.
    client.call<wire::NoSuchSegment>(seal(kTransaction));
    client.call<wire::NoSuchSegment>(remove(kTransaction));
    EXPECT_EQ(client.call<wire::NoSuchSegment>(read(kTransaction, 3, 100)).offset, 3);
    client.call<wire::NoSuchSegment>(setup(kTransaction));
}

TEST_P(RequestsTest, MergeFailuresNameTheSource) {
    make(kSegment, "target,");
    auto merge = [](const std::string& target, const std::string& source) {
        return wire::MergeSegments{kRequest, target, source, "", {}};
    };
    EXPECT_EQ(client.call<wire::NoSuchSegment>(merge(kSegment, kTransaction)).segment, kTransaction);
    make(kTransaction, "source");
    EXPECT_EQ(client.call<wire::NoSuchSegment>(merge("scope/none/0.#epoch.0", kTransaction)).segment, kTransaction);
    client.call<wire::SegmentTruncated>(truncate(kTransaction, 3));
    expect_close(merge(kSegment, kTransaction));
    make(kTransaction2, "other");
    client.call<wire::SegmentSealed>(seal(kSegment));
    auto sealed = client.call<wire::SegmentIsSealed>(merge(kSegment, kTransaction2));
    EXPECT_EQ(sealed.segment, kTransaction2);
    EXPECT_EQ(sealed.offset, -1);
    make("self");
    EXPECT_EQ(client.call<wire::SegmentIsSealed>(merge("self", "self")).segment, "self");
}

TEST_P(RequestsTest, MergeBatch) {
    make(kSegment, "target,");
    make(kTransaction, "one,");
    make(kTransaction2, "two,");
    wire::MergeSegmentsBatch request{kRequest, kSegment, {kTransaction2, kTransaction}, ""};
    auto merged = client.call<wire::SegmentsBatchMerged>(request);
    EXPECT_EQ(merged.target, kSegment);
    ASSERT_EQ(merged.sources.size(), 2u);
    EXPECT_EQ(merged.sources[0].source, kTransaction2);
    EXPECT_EQ(merged.sources[0].new_target_write_offset, 11);
    EXPECT_EQ(merged.sources[1].new_target_write_offset, 15);
    EXPECT_EQ(client.call<wire::SegmentsBatchMerged>(request).sources[0].new_target_write_offset, 15) << "again";
    EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).data), "target,two,one,");
    request.sources.clear();
    EXPECT_TRUE(client.call<wire::SegmentsBatchMerged>(request).sources.empty());
    request.sources = {kTransaction};
    client.call<wire::SegmentSealed>(seal(kSegment));
    make(kTransaction2, "late");
    request.sources = {kTransaction2};
    EXPECT_EQ(client.call<wire::SegmentIsSealed>(request).segment, kSegment);
    request.target = "scope/none/0.#epoch.0";
    EXPECT_EQ(client.call<wire::NoSuchSegment>(request).segment, request.target);
    request.sources.clear();
    EXPECT_TRUE(client.call<wire::SegmentsBatchMerged>(request).sources.empty()) << "nobody looks for the target";
}

TEST_P(RequestsTest, AMergeWhoseReplyWouldBeTooLongIsRefusedBeforehand) {
    make(kSegment);
    wire::MergeSegmentsBatch request{kRequest, kSegment, {}, ""};
    request.sources.assign(200'000, std::string(80, 's'));
    EXPECT_EQ(client.call<wire::ErrorMessage>(request).segment, kSegment);
}

// ---- reads ----

TEST_P(RequestsTest, ReadsWithinTheSegment) {
    make(kSegment, kContent);
    auto whole = client.call<wire::SegmentRead>(read(kSegment, 0, 1000, 4));
    EXPECT_EQ(text(whole.data), kContent);
    EXPECT_EQ(whole.segment, kSegment);
    EXPECT_EQ(whole.request_id, 4);
    EXPECT_TRUE(whole.at_tail);
    EXPECT_FALSE(whole.end_of_segment);
    auto exactly = client.call<wire::SegmentRead>(read(kSegment, 0, 20));
    EXPECT_FALSE(exactly.at_tail);
    EXPECT_EQ(exactly.data.size(), 20u);
    for (std::int32_t length : {1, 0, -5}) {
        EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 2, length)).data), "23456789") << "at least eight";
    }
    EXPECT_EQ(client.call<wire::NoSuchSegment>(read("none", 77, 100)).offset, 77);
    expect_close(read(kSegment, -1, 100));
    client.call<wire::SegmentTruncated>(truncate(kSegment, 12));
    auto truncated = client.call<wire::SegmentIsTruncated>(read(kSegment, 11, 100));
    EXPECT_EQ(truncated.start_offset, 12);
    EXPECT_EQ(truncated.offset, 11);
    EXPECT_EQ(client.call<wire::SegmentRead>(read(kSegment, 12, 100)).offset, 12);
}

TEST_P(RequestsTest, ReadsOfASealedSegment) {
    make(kSegment, kContent);
    client.call<wire::SegmentSealed>(seal(kSegment));
    auto end = client.call<wire::SegmentRead>(read(kSegment, 20, 100));
    EXPECT_TRUE(end.end_of_segment);
    EXPECT_FALSE(end.at_tail);
    EXPECT_TRUE(end.data.empty());
    EXPECT_TRUE(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).end_of_segment);
    EXPECT_FALSE(client.call<wire::SegmentRead>(read(kSegment, 0, 20)).end_of_segment);
    expect_close(read(kSegment, 21, 100));
}

TEST_P(RequestsTest, ReadsAtTheTailWait) {
    make(kSegment, kContent);
    TestClient& reader = connect();
    reader.send(read(kSegment, 20, 8, 1), read(kSegment, 20, 100, 2), read(kSegment, 25, 100, 3), wire::KeepAlive{},
                info(kSegment, 4), read(kSegment, 0, 8, 5));
    EXPECT_EQ(reader.replies().size(), 3u) << "waiting reads hold nobody up";
    Uuid writer{9, 9};
    client.call<wire::AppendSetup>(setup(kSegment, writer));
    client.call<wire::DataAppended>(append(1, "more", writer));
    auto replies = reader.replies();
    ASSERT_EQ(replies.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
        const auto* reply = replies[i].as<wire::SegmentRead>();
        ASSERT_NE(reply, nullptr);
        EXPECT_EQ(text(reply->data), "more");
        EXPECT_TRUE(reply->at_tail);
        EXPECT_EQ(reply->request_id, std::ssize(replies) - 1 + static_cast<std::int64_t>(i));
    }
    client.call<wire::SegmentSealed>(seal(kSegment));
    replies = reader.replies();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].as<wire::SegmentIsSealed>()->offset, 25);
    EXPECT_EQ(replies[0].as<wire::SegmentIsSealed>()->request_id, 3);
}

TEST_P(RequestsTest, DeletionEndsAWaitingRead) {
    make(kSegment, kContent);
    TestClient& reader = connect();
    reader.send(read(kSegment, 20, 100, 6));
    EXPECT_TRUE(reader.replies().empty());
    client.call<wire::SegmentDeleted>(remove(kSegment));
    auto replies = reader.replies();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].as<wire::NoSuchSegment>()->offset, 20);
}

TEST_P(RequestsTest, BigReadsAreCutAndNotCopied) {
    std::string piece(1 << 20, 'x');
    make(kSegment);
    client.call<wire::AppendSetup>(setup(kSegment));
    for (int i = 1; i <= 3; ++i) client.call<wire::DataAppended>(append(i, piece));
    auto reply = client.call<wire::SegmentRead>(read(kSegment, 1, 100 << 20));
    EXPECT_GT(reply.data.size(), 0u);
    EXPECT_LE(reply.data.size(), 2u << 20);
    EXPECT_FALSE(reply.at_tail);
    EXPECT_EQ(h.state->counters.read_bytes.get(), reply.data.size());
}

TEST_P(RequestsTest, TooManyWaitingReadsEndTheConnection) {
    make(kSegment);
    StoreOptions options;
    Harness small(GetParam(), [&] {
        options.waiting_reads_max = 3;
        return options;
    }());
    TestClient& reader = small.connect();
    reader.call<wire::SegmentCreated>(create(kSegment));
    for (int i = 0; i < 3; ++i) reader.send(read(kSegment, 0, 100, i));
    EXPECT_TRUE(reader.replies().empty());
    EXPECT_FALSE(reader.closed());
    reader.send(read(kSegment, 0, 100));
    EXPECT_TRUE(reader.closed());
}

}  // namespace
}  // namespace millrace::store
