// What is RocksDB's alone: whose directory it is, damage, memory, a pool that is full, a directory that vanishes.
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "container/state/store_harness.h"
#include "container/state/store_records.h"

namespace millrace::container::state {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t kSeed = 9;

class RocksdbState : public testing::Test {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }  // damage is logged by RocksDB, too
    void TearDown() override {
        if (store_) thread_->close(store_);
    }
    std::string path() const { return directory_.path() + "/state"; }
    Result<std::unique_ptr<StateStore>> try_open(const std::string& directory, std::uint32_t container = 7) {
        Result<std::unique_ptr<StateStore>> opened = fail(Errc::kClosed);
        thread_->run([&] {
            DatabaseOptions options{directory, ContainerId(container), 256 * kKiB, 50};
            opened = open_rocksdb_state(options, resources_, thread_->pool(), thread_->loop());
        });
        return opened;
    }
    void open() {
        auto opened = try_open(path());
        ASSERT_TRUE(opened) << opened.error().to_string();
        store_ = std::move(*opened);
    }
    void apply_random(std::uint64_t from, std::uint64_t to, std::uint64_t flush_every) {
        for (std::uint64_t i = from; i <= to; ++i) {
            ASSERT_TRUE(thread_->apply(*store_, random_batch(kSeed, LogSequence(i)), LogSequence(i)));
            if (i % flush_every != 0) continue;
            ASSERT_TRUE(thread_->flush(*store_));
        }
    }
    static StateModel::Entries model_at(LogSequence sequence) {
        StateModel model;
        for (std::uint64_t i = 1; i <= sequence.value(); ++i) model.apply(random_batch(kSeed, LogSequence(i)));
        return model.entries;
    }

    ScratchDirectory directory_;
    std::shared_ptr<StateResources> resources_ = std::make_shared<StateResources>();
    std::unique_ptr<StoreThread> thread_ = std::make_unique<StoreThread>();
    std::unique_ptr<StateStore> store_;
};

TEST_F(RocksdbState, IsOfOneContainerAndOneProcess) {
    open();
    auto twice = try_open(path());
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error(), Errc::kLocked) << twice.error().to_string();
    thread_->close(store_);
    auto other = try_open(path(), 8);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error(), Errc::kCorrupt);
    EXPECT_THAT(other.error().message(), HasSubstr("container 7"));
    open();
    auto nowhere = try_open(directory_.path() + "/missing/state");
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error(), Errc::kIo);
}

TEST_F(RocksdbState, KeepsNoLogFiles) {
    open();
    apply_random(1, 50, 10);
    for (const auto& entry : fs::directory_iterator(path())) {
        std::string name = entry.path().filename().string();
        EXPECT_FALSE(name.starts_with("LOG")) << name;
        EXPECT_TRUE(!name.ends_with(".log") || entry.file_size() == 0) << name;
    }
}

// A byte of an SST file is flipped: either nothing that was asked for depended on it, or it is reported with the file.
// But for a table's properties at its end, which RocksDB parses before it compares their checksum: a flip there can
// fail an assertion of the packaged library, which ends the process.
constexpr std::uint64_t kProperties = 1200;

TEST_F(RocksdbState, NeverServesAFlippedByteOfATable) {
    open();
    apply_random(1, 300, 60);
    thread_->close(store_);
    auto whole = model_at(LogSequence(300));
    std::vector<fs::path> tables;
    for (const auto& entry : fs::directory_iterator(path())) {
        if (entry.path().extension() == ".sst" && entry.file_size() > 2 * kProperties) tables.push_back(entry.path());
    }
    ASSERT_FALSE(tables.empty());
    SeededRandom random(3);
    int reported = 0;
    for (int trial = 0; trial < 120; ++trial) {
        std::string copy = directory_.path() + "/copy";
        fs::remove_all(copy);
        fs::copy(path(), copy);
        fs::path table = fs::path(copy) / tables[random.below(tables.size())].filename();
        std::uint64_t at = random.below(fs::file_size(table) - kProperties);
        {
            std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
            file.seekg(static_cast<std::streamoff>(at));
            int byte = file.get();
            file.seekp(static_cast<std::streamoff>(at));
            file.put(static_cast<char>(byte ^ (1 << random.below(8))));
        }
        resources_ = std::make_shared<StateResources>();  // nothing good in the cache
        auto opened = try_open(copy);
        std::optional<Error> error;
        if (!opened) {
            error = opened.error();
        } else {
            store_ = std::move(*opened);
            auto found = contents(*store_);
            if (found) {
                ASSERT_EQ(store_->applied(), LogSequence(300));
                ASSERT_TRUE(*found == whole) << "trial " << trial << ": served, byte " << at << " of " << table;
            } else {
                error = found.error();
            }
            thread_->close(store_);
        }
        if (error) {
            ++reported;
            EXPECT_EQ(error->code(), Errc::kCorrupt) << error->to_string();
            EXPECT_THAT(error->message(), HasSubstr(table.string()));
            EXPECT_THAT(error->message(), HasSubstr("restore the data directory"));
        }
    }
    EXPECT_GT(reported, 100);
}

// A damaged block is refused, told once, and disturbs nothing else: compactions and removals meet it, writes go on.
TEST_F(RocksdbState, GoesOnBesideADamagedBlock) {
    auto key_of = [](int number) { return fmt::format("K{:05}", number); };
    auto fill = [&](LogSequence through) {
        StateBatch batch;
        SeededRandom random(through.value());
        for (int i = 0; i < 1000; ++i) {
            std::string value;
            for (int j = 0; j < 20; ++j) value += fmt::format("{:016x}", random.next());
            batch.put(key_of(i), value);
        }
        ASSERT_TRUE(thread_->apply(*store_, std::move(batch), through));
        ASSERT_TRUE(thread_->flush(*store_));
    };
    open();
    fill(LogSequence(1));
    thread_->close(store_);
    std::string damaged;
    for (const auto& entry : fs::directory_iterator(path())) {
        if (entry.path().extension() != ".sst" || entry.file_size() < 100'000) continue;
        damaged = entry.path().string();
        std::fstream file(damaged, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(50'000);
        file.put('!');
        file.put('?');
    }
    ASSERT_FALSE(damaged.empty());
    resources_ = std::make_shared<StateResources>();
    open();
    std::optional<Error> error;
    int served = 0;
    for (int i = 0; i < 1000; ++i) {
        auto value = thread_->get(*store_, key_of(i));
        served += value ? 1 : 0;
        if (!value) error = value.error();
    }
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Errc::kCorrupt);
    EXPECT_THAT(error->message(), HasSubstr(damaged));
    EXPECT_GT(served, 900);
    EXPECT_EQ(resources_->damages(), 1u);
    for (std::uint64_t i = 2; i < 40; ++i) fill(LogSequence(i));  // their compaction is due
    StateBatch removal;
    removal.remove_range({key_of(0), key_of(500)});
    removal.put("last", "1");
    ASSERT_TRUE(thread_->apply(*store_, std::move(removal), LogSequence(40)));
    ASSERT_TRUE(thread_->flush(*store_));
    EXPECT_TRUE(thread_->get(*store_, key_of(999))->value);
    EXPECT_EQ(thread_->get(*store_, "last")->value, "1");
    EXPECT_FALSE(thread_->stats(*store_).trouble);
    EXPECT_GE(resources_->damages(), 1u);
    thread_->close(store_);
    open();
    EXPECT_EQ(store_->applied(), LogSequence(40));
    EXPECT_EQ(thread_->get(*store_, "last")->value, "1");
}

// Inserts begin where the last one with the same first byte was.
TEST_F(RocksdbState, KeysOfAnyLengthInAnyOrder) {
    open();
    SeededRandom random(11);
    std::map<std::string, std::string> model;
    constexpr std::string_view kBytes("\0\x01\x7f\xff", 4);
    for (std::uint64_t batch = 1; batch <= 60; ++batch) {
        StateBatch changes;
        for (int i = 0; i < 40; ++i) {
            std::string key(1, "\x20\x7f\xff"[random.below(3)]);
            for (std::uint64_t length = random.below(6); length > 0; --length) key += kBytes[random.below(4)];
            std::string value = std::to_string(batch) + "." + std::to_string(i);
            if (random.below(4) == 0) {
                changes.remove(key);
                model.erase(key);
            } else {
                changes.put(key, value);
                model[key] = value;
            }
        }
        ASSERT_TRUE(thread_->apply(*store_, std::move(changes), LogSequence(batch)));
        if (batch % 7 == 0) {
            ASSERT_TRUE(thread_->flush(*store_));
        }
        for (int i = 0; i < 20; ++i) {
            auto at = model.begin();
            std::advance(at, static_cast<std::ptrdiff_t>(random.below(model.size())));
            auto found = thread_->get(*store_, at->first);
            ASSERT_TRUE(found && found->value);
            EXPECT_EQ(*found->value, at->second);
        }
        ScanRequest all{{"\x20", std::string(8, '\xff')}};
        all.max_entries = 10'000;
        all.descending = batch % 2 == 0;
        auto page = thread_->scan(*store_, std::move(all));
        ASSERT_TRUE(page);
        std::map<std::string, std::string> found(page->entries.begin(), page->entries.end());
        EXPECT_EQ(found, model);
    }
}

// RocksDB blames the manifest for what it finds in a table's properties, and gives a missing table another suffix.
TEST_F(RocksdbState, NamesTheTableThatCannotBeOpened) {
    open();
    apply_random(1, 100, 50);
    thread_->close(store_);
    fs::path table;
    for (const auto& entry : fs::directory_iterator(path())) {
        if (entry.path().extension() == ".sst" && entry.file_size() > 2 * kProperties) table = entry.path();
    }
    ASSERT_FALSE(table.empty());
    SeededRandom random(5);
    int refused = 0;
    for (int trial = 0; trial < 60; ++trial) {
        std::string copy = directory_.path() + "/copy";
        fs::remove_all(copy);
        fs::copy(path(), copy);
        fs::path harmed = fs::path(copy) / table.filename();
        if (trial == 0) {
            fs::remove(harmed);
        } else {
            auto at = static_cast<std::streamoff>(fs::file_size(harmed) - 54 - random.below(kProperties));
            std::fstream file(harmed, std::ios::in | std::ios::out | std::ios::binary);
            file.seekg(at);
            int byte = file.get();
            file.seekp(at);
            file.put(static_cast<char>(byte ^ 0x10));
        }
        resources_ = std::make_shared<StateResources>();
        auto opened = try_open(copy);
        if (opened) {
            store_ = std::move(*opened);
            thread_->close(store_);
            continue;
        }
        ++refused;
        EXPECT_THAT(opened.error().message(), HasSubstr(harmed.string()));
    }
    EXPECT_GT(refused, 20);
}

// The same for the other files: at worst it opens as an older state that says so.
TEST_F(RocksdbState, FlippedByteElsewhereGivesAnErrorOrAPrefix) {
    open();
    apply_random(1, 120, 20);
    thread_->close(store_);
    SeededRandom random(4);
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path())) {
        bool table = entry.path().extension() == ".sst";
        if (!table && entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
    }
    ASSERT_FALSE(files.empty());
    int opened_well = 0;
    for (int trial = 0; trial < 60; ++trial) {
        std::string copy = directory_.path() + "/copy";
        fs::remove_all(copy);
        fs::copy(path(), copy);
        fs::path file = fs::path(copy) / files[random.below(files.size())].filename();
        std::uint64_t at = random.below(fs::file_size(file));
        {
            std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
            stream.seekg(static_cast<std::streamoff>(at));
            int byte = stream.get();
            stream.seekp(static_cast<std::streamoff>(at));
            stream.put(static_cast<char>(byte ^ (1 << random.below(8))));
        }
        resources_ = std::make_shared<StateResources>();
        auto opened = try_open(copy);
        if (!opened) continue;
        store_ = std::move(*opened);
        auto found = contents(*store_);
        if (found) {
            ASSERT_LE(store_->applied(), LogSequence(120));
            ASSERT_TRUE(*found == model_at(store_->applied()))
                << "trial " << trial << ", byte " << at << " of " << file;
            ++opened_well;
        }
        thread_->close(store_);
    }
    RecordProperty("opened", opened_well);
}

TEST_F(RocksdbState, SaysWhoseItIs) {
    open();
    auto read = thread_->get(*store_, IdentityRecord::key());
    ASSERT_TRUE(read && read->value);
    auto identity = IdentityRecord::decode(IdentityRecord::key(), *read->value);
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->container, ContainerId(7));
}

// More callers than the pool has places: all are answered.
TEST_F(RocksdbState, WaitsForAPlaceInTheBlockingPool) {
    thread_ = std::make_unique<StoreThread>(runtime::BlockingPoolOptions{"small", 1, 1});
    open();
    StateBatch batch;
    batch.put("a", "1");
    int answered = 0;
    thread_->wait<bool>([&](runtime::Callback<bool> done) {
        auto shared = std::make_shared<runtime::Callback<bool>>(std::move(done));
        store_->apply(std::move(batch), LogSequence(1), [](Result<> result) { EXPECT_TRUE(result); });
        for (int i = 0; i < 200; ++i) {
            store_->get("a", [&, shared](Result<StateValue> value) {
                EXPECT_TRUE(value);
                if (++answered == 200) (*shared)(true);
            });
        }
    });
    EXPECT_EQ(answered, 200);
}

// Memory does not follow the bytes that are written, nor the number of stores.
TEST_F(RocksdbState, StoresShareTheirMemory) {
    resources_ = std::make_shared<StateResources>(StateResourceOptions{8 * kMiB, 4 * kMiB, 1, 1});
    std::vector<std::unique_ptr<StateStore>> stores;
    for (std::uint32_t i = 0; i < 3; ++i) {
        Result<std::unique_ptr<StateStore>> opened = fail(Errc::kClosed);
        thread_->run([&] {
            DatabaseOptions options{fmt::format("{}/{}", directory_.path(), i), ContainerId(i), 64 * kMiB, 50};
            opened = open_rocksdb_state(options, resources_, thread_->pool(), thread_->loop());
        });
        ASSERT_TRUE(opened) << opened.error().to_string();
        stores.push_back(std::move(*opened));
    }
    std::size_t most = 0;
    std::string value(1000, 'v');
    for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) {
        for (auto& store : stores) {
            StateBatch batch;
            for (int i = 0; i < 200; ++i) batch.put(fmt::format("K{}/{}", sequence, i), value);
            ASSERT_TRUE(thread_->apply(*store, std::move(batch), LogSequence(sequence)));
            most = std::max(most, resources_->write_buffer_used_bytes());
        }
    }
    EXPECT_LT(most, 12 * kMiB) << "36 MB were written";
    for (auto& store : stores) {
        ASSERT_TRUE(thread_->flush(*store));
        auto found = contents(*store);
        ASSERT_TRUE(found);
        EXPECT_EQ(found->size(), 12'000u);
        EXPECT_GT(thread_->stats(*store).disk_bytes, 0u);
        thread_->close(store);
    }
    EXPECT_LT(resources_->cache_used_bytes(), 9 * kMiB);
}

// A disk that fails: nothing is written any more, what was read can still be read, what was flushed is there.
TEST_F(RocksdbState, AFailedFlushFailsTheStore) {
    open();
    apply_random(1, 40, 20);
    StateBatch batch;
    batch.put("later", "1");
    ASSERT_TRUE(thread_->apply(*store_, std::move(batch), LogSequence(41)));
    fs::rename(path(), path() + ".away");
    auto failed = thread_->flush(*store_);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), Errc::kIo) << failed.error().to_string();
    fs::rename(path() + ".away", path());
    EXPECT_EQ(thread_->apply(*store_, {}, LogSequence(42)).error(), Errc::kIo);
    EXPECT_EQ(thread_->flush(*store_).error(), Errc::kIo);
    EXPECT_EQ(thread_->get(*store_, "later")->value, "1");
    EXPECT_TRUE(thread_->stats(*store_).trouble);
    thread_->close(store_);
    open();
    EXPECT_EQ(store_->applied(), LogSequence(40));
    EXPECT_TRUE(*contents(*store_) == model_at(LogSequence(40)));
}

}  // namespace
}  // namespace millrace::container::state
