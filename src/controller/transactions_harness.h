// A controller with the scope "s", in which the stream `kX` is made and given transactions.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"
#include "controller/names.h"
#include "controller/transactions.h"

namespace millrace::controller {

inline const StreamName kX{"s", "x"};
inline constexpr auto kSuccess = TransactionOutcome::kSuccess;
inline constexpr auto kFailure = TransactionOutcome::kFailure;

class TransactionsTest : public testing::Test {
  protected:
    TransactionsTest() { EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); }

    void make_stream(std::int32_t segments, std::vector<std::string> tags = {}) {
        ASSERT_EQ(t.create(kX, fixed(segments, std::move(tags))), CreateStreamStatus::kSuccess);
    }
    void scale_to(std::int32_t segments) {
        auto scaled = t.scale_to(kX, segments);
        ASSERT_TRUE(scaled && scaled->status == ScaleStatus::kStarted);
    }
    BegunTransaction begun(std::int64_t lease_ms = 10'000) {
        auto txn = t.begin(kX, lease_ms);
        EXPECT_TRUE(txn) << txn.error().to_string();
        return *txn;
    }
    std::string own(const BegunTransaction& txn, std::size_t segment) {
        return transaction_segment_name(kX, txn.segments[segment].id, txn.id);
    }
    std::vector<std::string>& merged_into(const std::string& segment) { return t.api.segments.at(segment).merged; }

    Harness t;
};

}  // namespace millrace::controller
