#include "node/journal_health.h"

#include <map>

#include <gtest/gtest.h>

namespace millrace::node {
namespace {

std::map<std::string, std::string> details(const rest::Health& health) {
    return {health.details.begin(), health.details.end()};
}

TEST(JournalHealth, TellsHowMuchIsUsed) {
    auto health = journal_health(rest::HealthStatus::kUp, "threads", {1000, 5000, false}, 2, 3);
    EXPECT_EQ(health.name, "journal");
    EXPECT_EQ(details(health)["files"], "threads");
    EXPECT_EQ(details(health)["space"], "free");
    EXPECT_EQ(details(health)["usedBytes"], "1000");
    EXPECT_EQ(details(health)["limitBytes"], "5000");
    EXPECT_EQ(details(health)["tornTails"], "2");
    EXPECT_EQ(details(health)["damagedFrames"], "3");
}

TEST(JournalHealth, AFullLogIsSaidAndTheProcessStaysReady) {
    auto health = journal_health(rest::HealthStatus::kUp, "threads", {5000, 5000, true}, 2, 3);
    EXPECT_EQ(details(health)["space"], "log full");
    EXPECT_TRUE(rest::is_ready(health.worst()));
    EXPECT_EQ(journal_health(rest::HealthStatus::kFailed, "threads", {5000, 5000, true}, 2, 3).worst(),
              rest::HealthStatus::kFailed);
}

}  // namespace
}  // namespace millrace::node
