// The contract of chunk_store.h, kept by every implementation: on memory and disk, on a fake S3 with and without
// faults, over a socket, and on a real server where one is named (see testing/store_host.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lts/errors.h"
#include "lts/testing/store_host.h"

namespace millrace::lts {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ChunkStoreContract : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        host = make_store_host(GetParam());
        ASSERT_NE(host, nullptr);
        store = open();
        other_store = open();
    }
    void TearDown() override {
        host->run([this] {
            store.reset();
            other_store.reset();
        });
    }
    std::unique_ptr<ChunkStore> open() {
        std::unique_ptr<ChunkStore> opened;
        host->run([&] {
            auto result = host->open();
            if (!result) ADD_FAILURE() << result.error().to_string();
            if (result) opened = std::move(*result);
        });
        return opened;
    }
    StoreCalls calls() { return {*host, *store}; }
    StoreCalls other() { return {*host, *other_store}; }
    std::unique_ptr<Upload> upload(const std::string& key) {
        std::unique_ptr<Upload> begun;
        host->run([&] { begun = store->upload(key, 0); });
        return begun;
    }
    void drop(std::unique_ptr<Upload>& upload) {
        host->run([&] { upload.reset(); });
    }
    std::vector<std::string> keys(const std::string& prefix, std::size_t limit = kListMax) {
        std::vector<std::string> found;
        std::string after;
        do {
            auto page = calls().list(prefix, after, limit);
            if (!page) {
                ADD_FAILURE() << page.error().to_string();
                return found;
            }
            EXPECT_LE(page->objects.size(), limit);
            for (const ListedObject& object : page->objects) found.push_back(object.key);
            after = page->next;
        } while (!after.empty());
        return found;
    }
    static std::string text(const Register& value) { return {value.value.begin(), value.value.end()}; }

    std::unique_ptr<StoreHost> host;
    std::unique_ptr<ChunkStore> store;
    std::unique_ptr<ChunkStore> other_store;
};

void expect_ok(const auto& result) { EXPECT_TRUE(result.has_value()) << result.error().to_string(); }

TEST_P(ChunkStoreContract, WhatIsPutIsRead) {
    bytes::Chain data = pattern(300'000, 1);
    expect_ok(calls().put("c-1/chunk", data));
    for (auto [offset, size] :
         {std::pair<std::size_t, std::size_t>{0, 300'000}, {0, 1}, {299'999, 1}, {1000, 123'456}}) {
        auto part = other().read("c-1/chunk", offset, size);
        ASSERT_TRUE(part.has_value()) << part.error().to_string();
        EXPECT_EQ(content(*part), data.sub(offset, size).to_vector());
    }
    auto nothing = calls().read("c-1/chunk", 300'000, 0);
    ASSERT_TRUE(nothing.has_value());
    EXPECT_TRUE(nothing->empty());
}

TEST_P(ChunkStoreContract, AnEmptyObjectIsAnObject) {
    expect_ok(calls().put("empty", {}));
    auto status = other().stat("empty");
    ASSERT_TRUE(status.has_value());
    EXPECT_EQ(status->size_bytes, 0u);
    EXPECT_EQ(calls().put("empty", {}).error(), Errc::kExists);
    EXPECT_EQ(calls().read("empty", 0, 1).error(), Errc::kCorrupt);
}

TEST_P(ChunkStoreContract, AnObjectIsNeverReplaced) {
    expect_ok(calls().put("a/b", pattern(100, 1)));
    Result<> again = other().put("a/b", pattern(200, 2));
    ASSERT_FALSE(again.has_value());
    EXPECT_EQ(again.error(), Errc::kExists);
    EXPECT_THAT(again.error().to_string(), HasSubstr("a/b"));
    EXPECT_FALSE(is_retryable(again.error()));
    EXPECT_EQ(calls().put("a/b", pattern(100, 1)).error(), Errc::kExists) << "not even by the same bytes";
    EXPECT_EQ(content(*calls().read("a/b", 0, 100)), pattern(100, 1).to_vector());
}

TEST_P(ChunkStoreContract, OfSeveralWritersOneWins) {
    for (int round = 0; round < 3; ++round) {
        std::string key = "race/" + std::to_string(round);
        std::vector<StoreCalls::Outcome<void>> outcomes;
        for (unsigned writer = 0; writer < 8; ++writer)
            outcomes.push_back((writer % 2 == 0 ? calls() : other()).start_put(key, pattern(1000 + writer, writer)));
        std::vector<unsigned> winners;
        for (unsigned writer = 0; writer < 8; ++writer) {
            Result<> done = calls().finish<void>(outcomes[writer]);
            if (done)
                winners.push_back(writer);
            else
                EXPECT_EQ(done.error(), Errc::kExists) << done.error().to_string();
        }
        ASSERT_EQ(winners.size(), 1u);
        auto kept = calls().read(key, 0, 1000 + winners[0]);
        ASSERT_TRUE(kept.has_value()) << kept.error().to_string();
        EXPECT_EQ(content(*kept), pattern(1000 + winners[0], winners[0]).to_vector());
    }
}

TEST_P(ChunkStoreContract, MissingAndShortObjectsAreNamed) {
    auto absent = calls().read("no/such", 0, 10);
    ASSERT_FALSE(absent.has_value());
    EXPECT_EQ(absent.error(), Errc::kNotFound);
    EXPECT_THAT(absent.error().to_string(), HasSubstr("no/such"));
    EXPECT_FALSE(is_retryable(absent.error()));
    EXPECT_EQ(calls().read("no/such", 0, 0).error(), Errc::kNotFound);
    EXPECT_EQ(calls().stat("no/such").error(), Errc::kNotFound);
    EXPECT_EQ(calls().stat("no").error(), Errc::kNotFound);
    expect_ok(calls().put("short/one", pattern(100, 1)));
    for (auto [offset, size] :
         {std::pair<std::uint64_t, std::uint64_t>{0, 101}, {99, 2}, {100, 1}, {5000, 10}, {101, 0}}) {
        auto part = calls().read("short/one", offset, size);
        ASSERT_FALSE(part.has_value()) << offset << " " << size;
        EXPECT_EQ(part.error(), Errc::kCorrupt);
        EXPECT_EQ(part.error().value(), 100);
        EXPECT_THAT(part.error().to_string(), HasSubstr("short/one"));
    }
    EXPECT_EQ(calls().stat("short").error(), Errc::kNotFound) << "a folder is no object";
    EXPECT_EQ(calls().read("short", 0, 1).error(), Errc::kNotFound);
}

TEST_P(ChunkStoreContract, StatTellsSizeAndTime) {
    expect_ok(calls().put("s", pattern(12'345, 1)));
    auto status = other().stat("s");
    ASSERT_TRUE(status.has_value()) << status.error().to_string();
    EXPECT_EQ(status->size_bytes, 12'345u);
    EXPECT_LT(std::abs(status->modified_ms - host->executor().clock().wall_millis()), 2 * 3'600'000);
}

TEST_P(ChunkStoreContract, RemovalIsIdempotent) {
    expect_ok(calls().put("r/a", pattern(10, 1)));
    expect_ok(calls().put("r/b", pattern(10, 1)));
    expect_ok(calls().remove("r/a"));
    EXPECT_EQ(other().read("r/a", 0, 10).error(), Errc::kNotFound);
    expect_ok(other().remove("r/a"));
    expect_ok(calls().remove("r/never/was"));
    expect_ok(calls().remove("r"));
    expect_ok(calls().read("r/b", 0, 10));
    expect_ok(calls().put("r/a", pattern(20, 2)));
    EXPECT_EQ(calls().stat("r/a")->size_bytes, 20u);
}

TEST_P(ChunkStoreContract, ListsAreInTheOrderOfBytes) {
    for (const char* key : {"l/b", "l/a/2", "l/a/1", "l/a-1", "l/a.1", "l/a0", "l/B", "l2", "k", "l/a=1/x"})
        expect_ok(calls().put(key, pattern(5, 1)));
    expect_ok(calls().write_register("l/register", "v", {}));
    EXPECT_THAT(keys("l/"), ElementsAre("l/B", "l/a-1", "l/a.1", "l/a/1", "l/a/2", "l/a0", "l/a=1/x", "l/b"));
    EXPECT_THAT(keys("l/", 1), ElementsAre("l/B", "l/a-1", "l/a.1", "l/a/1", "l/a/2", "l/a0", "l/a=1/x", "l/b"));
    EXPECT_THAT(keys("l/", 3), ElementsAre("l/B", "l/a-1", "l/a.1", "l/a/1", "l/a/2", "l/a0", "l/a=1/x", "l/b"));
    EXPECT_THAT(keys(""), ElementsAre("k", "l/B", "l/a-1", "l/a.1", "l/a/1", "l/a/2", "l/a0", "l/a=1/x", "l/b", "l2"));
    EXPECT_THAT(keys("l/a"), ElementsAre("l/a-1", "l/a.1", "l/a/1", "l/a/2", "l/a0", "l/a=1/x"));
    EXPECT_THAT(keys("l/a/"), ElementsAre("l/a/1", "l/a/2"));
    EXPECT_THAT(keys("nothing/"), IsEmpty());
    auto page = calls().list("l/", "l/a.1", 2);
    ASSERT_TRUE(page.has_value());
    ASSERT_EQ(page->objects.size(), 2u);
    EXPECT_EQ(page->objects[0].key, "l/a/1");
    EXPECT_EQ(page->objects[0].status.size_bytes, 5u);
    EXPECT_EQ(calls().list("", "", 0).error(), Errc::kLimit);
    EXPECT_EQ(calls().list("", "", kListMax + 1).error(), Errc::kLimit);
}

TEST_P(ChunkStoreContract, BadKeysAreRefused) {
    for (const std::string& key :
         {std::string(""), std::string("/"), std::string("a/"), std::string("/a"), std::string("a//b"),
          std::string("."), std::string(".."), std::string("a/../b"), std::string(".hidden"), std::string("a b"),
          std::string("a\nb"), std::string("a\0b", 3), std::string("\xc3\xbc"), std::string("a?b"), std::string("a%2f"),
          std::string(201, 'a'), "a/" + std::string(201, 'b'), std::string(513, 'x')}) {
        EXPECT_EQ(calls().put(key, pattern(1, 1)).error(), Errc::kInvalidArgument) << key;
        EXPECT_EQ(calls().read(key, 0, 1).error(), Errc::kInvalidArgument) << key;
        EXPECT_EQ(calls().stat(key).error(), Errc::kInvalidArgument) << key;
        EXPECT_EQ(calls().remove(key).error(), Errc::kInvalidArgument) << key;
        EXPECT_EQ(calls().read_register(key).error(), Errc::kInvalidArgument) << key;
        EXPECT_EQ(calls().write_register(key, "v", {}).error(), Errc::kInvalidArgument) << key;
        auto begun = upload(key);
        EXPECT_EQ(calls().append(*begun, pattern(1, 1)).error(), Errc::kInvalidArgument) << key;
        drop(begun);
    }
    EXPECT_EQ(calls().list("a b", "", 1).error(), Errc::kInvalidArgument);
    EXPECT_EQ(calls().list("", "..", 1).error(), Errc::kInvalidArgument);
    EXPECT_EQ(calls().read("a", 0, kReadSizeMax + 1).error(), Errc::kLimit);
}

TEST_P(ChunkStoreContract, UploadsOfAllSizes) {
    constexpr std::size_t kPart = std::size_t{5} << 20;
    unsigned seed = 1;
    for (std::size_t size : {std::size_t{0}, std::size_t{1000}, kPart, 2 * kPart + 12'345}) {
        std::string key = "up/" + std::to_string(size);
        bytes::Chain data = pattern(size, ++seed);
        auto begun = upload(key);
        for (std::size_t at = 0; at < size;) {
            std::size_t step = std::min<std::size_t>(3'000'000, size - at);
            expect_ok(calls().append(*begun, data.sub(at, step)));
            at += step;
        }
        EXPECT_EQ(other().stat(key).error(), Errc::kNotFound) << "seen before its end";
        expect_ok(calls().finish_upload(*begun));
        drop(begun);
        EXPECT_EQ(other().stat(key)->size_bytes, size);
        auto read = other().read(key, 0, size);
        ASSERT_TRUE(read.has_value()) << read.error().to_string();
        EXPECT_EQ(content(*read), data.to_vector());
    }
}

TEST_P(ChunkStoreContract, AnUploadNeverReplaces) {
    bytes::Chain large = pattern((std::size_t{5} << 20) + 10, 3);
    for (std::size_t size : {std::size_t{10}, large.size()}) {
        std::string key = "taken/" + std::to_string(size);
        auto begun = upload(key);
        expect_ok(calls().append(*begun, large.sub(0, size)));
        expect_ok(other().put(key, pattern(7, 9)));
        EXPECT_EQ(calls().finish_upload(*begun).error(), Errc::kExists);
        drop(begun);
        EXPECT_EQ(content(*calls().read(key, 0, 7)), pattern(7, 9).to_vector());
    }
}

TEST_P(ChunkStoreContract, AnAbortedUploadLeavesNothing) {
    bytes::Chain large = pattern((std::size_t{6} << 20), 3);
    auto begun = upload("gone/a");
    expect_ok(calls().append(*begun, large));
    expect_ok(calls().abort(*begun));
    EXPECT_EQ(calls().append(*begun, large).error(), Errc::kInvalidArgument);
    EXPECT_EQ(calls().finish_upload(*begun).error(), Errc::kInvalidArgument);
    drop(begun);
    auto dropped = upload("gone/b");
    expect_ok(calls().append(*dropped, large));
    drop(dropped);
    auto busy = upload("gone/c");
    auto appended = calls().start<void>([&](auto done) { busy->append(large, std::move(done)); });
    auto aborted = calls().start<void>([&](auto done) { busy->abort(std::move(done)); });
    (void)calls().finish<void>(appended);  // either way
    expect_ok(calls().finish<void>(aborted));
    drop(busy);
    for (const char* key : {"gone/a", "gone/b", "gone/c"}) {
        EXPECT_EQ(calls().stat(key).error(), Errc::kNotFound);
        expect_ok(calls().put(key, pattern(1, 1)));
    }
}

TEST_P(ChunkStoreContract, ARegisterIsReplacedUnderItsTag) {
    auto absent = calls().read_register("owner/1");
    ASSERT_TRUE(absent.has_value()) << absent.error().to_string();
    EXPECT_TRUE(absent->tag.absent());
    auto first = calls().write_register("owner/1", "node a", absent->tag);
    ASSERT_TRUE(first.has_value()) << first.error().to_string();
    EXPECT_FALSE(first->absent());
    auto seen = other().read_register("owner/1");
    ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
    EXPECT_EQ(seen->tag, *first);
    EXPECT_EQ(text(*seen), "node a");
    auto second = other().write_register("owner/1", "node a", seen->tag);
    ASSERT_TRUE(second.has_value()) << second.error().to_string();
    EXPECT_NE(*second, *first) << "the same value is another write";
    auto third = calls().write_register("owner/1", std::string(kRegisterSizeMax, 'x'), *second);
    ASSERT_TRUE(third.has_value()) << third.error().to_string();
    EXPECT_EQ(text(*other().read_register("owner/1")), std::string(kRegisterSizeMax, 'x'));
    expect_ok(calls().write_register("owner/1", "", *third));
    EXPECT_EQ(calls().write_register("owner/2", std::string(kRegisterSizeMax + 1, 'x'), {}).error(), Errc::kLimit);
}

TEST_P(ChunkStoreContract, AStaleOwnerIsFenced) {
    auto mine = calls().write_register("owner", "epoch 1", {});
    ASSERT_TRUE(mine.has_value()) << mine.error().to_string();
    auto theirs = other().write_register("owner", "epoch 2", other().read_register("owner")->tag);
    ASSERT_TRUE(theirs.has_value()) << theirs.error().to_string();
    auto stale = calls().write_register("owner", "epoch 1 again", *mine);
    ASSERT_FALSE(stale.has_value());
    EXPECT_TRUE(is_fenced(stale.error())) << stale.error().to_string();
    EXPECT_FALSE(is_retryable(stale.error()));
    EXPECT_THAT(stale.error().to_string(), HasSubstr("owner"));
    auto blind = calls().write_register("owner", "as if new", {});
    ASSERT_FALSE(blind.has_value());
    EXPECT_TRUE(is_fenced(blind.error()));
    EXPECT_EQ(text(*calls().read_register("owner")), "epoch 2");
    EXPECT_EQ(calls().write_register("another", "v", *mine).error(), Errc::kBadVersion) << "a tag of what is absent";
}

TEST_P(ChunkStoreContract, OfSeveralRegisterWritersOneWins) {
    RegisterTag tag;
    for (int round = 0; round < 5; ++round) {
        std::vector<StoreCalls::Outcome<RegisterTag>> outcomes;
        for (int writer = 0; writer < 6; ++writer)
            outcomes.push_back((writer % 2 == 0 ? calls() : other()).start_write("r", std::to_string(writer), tag));
        std::vector<int> winners;
        RegisterTag next;
        for (int writer = 0; writer < 6; ++writer) {
            auto done = calls().finish<RegisterTag>(outcomes[static_cast<std::size_t>(writer)]);
            if (done) {
                winners.push_back(writer);
                next = *done;
            } else {
                EXPECT_EQ(done.error(), Errc::kBadVersion) << done.error().to_string();
            }
        }
        ASSERT_EQ(winners.size(), 1u);
        auto seen = calls().read_register("r");
        ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
        EXPECT_EQ(seen->tag, next);
        EXPECT_EQ(text(*seen), std::to_string(winners[0]));
        tag = next;
    }
}

TEST_P(ChunkStoreContract, ManyOperationsAtOnce) {
    constexpr unsigned kCount = 60;
    std::vector<StoreCalls::Outcome<void>> puts;
    for (unsigned i = 0; i < kCount; ++i)
        puts.push_back(calls().start_put("m/" + std::to_string(i), pattern(20'000, i)));
    for (auto& put : puts) expect_ok(calls().finish<void>(put));
    std::vector<StoreCalls::Outcome<bytes::Slice>> reads;
    for (unsigned i = 0; i < kCount; ++i) {
        reads.push_back(calls().start<bytes::Slice>(
            [&](auto done) { store->read("m/" + std::to_string(i), i, 10'000, std::move(done)); }));
    }
    for (unsigned i = 0; i < kCount; ++i) {
        auto part = calls().finish<bytes::Slice>(reads[i]);
        ASSERT_TRUE(part.has_value()) << part.error().to_string();
        EXPECT_EQ(content(*part), pattern(20'000, i).sub(i, 10'000).to_vector());
    }
    EXPECT_EQ(keys("m/").size(), kCount);
    StoreStats stats = store->stats();
    EXPECT_EQ(stats.objects_written, kCount);
    EXPECT_EQ(stats.bytes_written, kCount * 20'000u);
    EXPECT_EQ(stats.reads, kCount);
}

TEST_P(ChunkStoreContract, ADestroyedStoreCompletesWhatIsUnderWay) {
    expect_ok(calls().put("d", pattern(1000, 1)));
    std::vector<StoreCalls::Outcome<void>> puts;
    auto begun = upload("d2");
    for (unsigned i = 0; i < 10; ++i) puts.push_back(calls().start_put("d/" + std::to_string(i), pattern(1000, i)));
    auto read = calls().start<bytes::Slice>([&](auto done) { store->read("d", 0, 1000, std::move(done)); });
    host->run([&] { store.reset(); });
    for (auto& put : puts) (void)other().finish<void>(put);  // it comes; with what, is the store's choice
    (void)other().finish<bytes::Slice>(read);
    EXPECT_EQ(other().append(*begun, pattern(1, 1)).error(), Errc::kClosed);
    drop(begun);
    EXPECT_EQ(content(*other().read("d", 0, 1000)), pattern(1000, 1).to_vector());
}

INSTANTIATE_TEST_SUITE_P(All, ChunkStoreContract, testing::ValuesIn(store_host_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace millrace::lts
