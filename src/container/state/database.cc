#include "container/state/database.h"

#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/advanced_options.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "container/state/store_records.h"

namespace millrace::container::state {
namespace {

constexpr std::size_t kLoadReadahead = 2 * kMiB;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

// RocksDB's own log, into ours; it keeps no files of its own for that.
class ForwardingLogger final : public rocksdb::Logger {
  public:
    explicit ForwardingLogger(ContainerId container)
        : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL), container_(container) {}
    using rocksdb::Logger::Logv;
    __attribute__((format(printf, 2, 0))) void Logv(const char* format, va_list arguments) override {
        char text[1024];
        std::vsnprintf(text, sizeof text, format, arguments);
        log::warn("container {}: RocksDB: {}", container_.value(), text);
    }

  private:
    const ContainerId container_;
};

// After an error nothing is tried again behind our back: the store does, in the order of its batches.
// The first error of a flush or a compaction. It stands until the store is opened again: RocksDB 7.8's own ways of
// going on after one (DB::Resume, automatic or not) let DB::Flush say that all is well while an earlier flush is not on
// disk, and can wait for ever.
class BackgroundError {
  public:
    void set(const rocksdb::Status& status) {
        std::lock_guard lock(mutex_);
        if (status_.ok()) status_ = status;
    }
    rocksdb::Status get() const {
        std::lock_guard lock(mutex_);
        return status_;
    }

  private:
    mutable std::mutex mutex_;
    rocksdb::Status status_;
};

// Damage that is found in the files: each place is told once, however often it is met.
class Damages {
  public:
    Damages(ContainerId container, std::atomic<std::uint64_t>& count) : container_(container), count_(count) {}
    void tell(const rocksdb::Status& status) {
        constexpr std::size_t kToldMax = 1000;
        std::string text = status.ToString();
        {
            std::lock_guard lock(mutex_);
            if (told_.size() >= kToldMax || !told_.insert(text).second) return;
        }
        count_.fetch_add(1, std::memory_order_relaxed);
        log::error("the state of container {} is damaged, what depends on it is refused: {}", container_.value(), text);
    }

  private:
    const ContainerId container_;
    std::atomic<std::uint64_t>& count_;
    std::mutex mutex_;
    std::set<std::string> told_;
};

class ErrorListener final : public rocksdb::EventListener {
  public:
    ErrorListener(std::shared_ptr<BackgroundError> error, std::shared_ptr<Damages> damages,
                  std::shared_ptr<std::atomic<bool>> compacts)
        : error_(std::move(error)), damages_(std::move(damages)), compacts_(std::move(compacts)) {}

    // A compaction that meets a damaged block ends without any change. All else can go on, so it does: without
    // compactions until the next start, since the same one would be tried again every second.
    void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override {
        if (status->IsCorruption() && reason == rocksdb::BackgroundErrorReason::kCompaction) {
            damages_->tell(*status);
            *status = rocksdb::Status::OK();
            compacts_->store(false, std::memory_order_release);
            return;
        }
        error_->set(*status);
    }
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
        *automatic = false;
    }

  private:
    std::shared_ptr<BackgroundError> error_;
    std::shared_ptr<Damages> damages_;
    std::shared_ptr<std::atomic<bool>> compacts_;
};

// RocksDB looks at a table's properties before it compares their checksum, and then names the manifest instead of the
// table; it gives one that is missing the suffix of old times. So the tables are tried one by one.
std::string damaged_tables(const std::string& directory) {
    constexpr int kNamedMax = 5;
    std::string named;
    int count = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        if (at->path().extension() != ".sst") continue;
        rocksdb::Status status = rocksdb::SstFileReader(rocksdb::Options()).Open(at->path().string());
        if (status.ok() || ++count > kNamedMax) continue;
        named += fmt::format("; {}: {}", at->path().string(), status.ToString());
    }
    return named;
}

void correct_suffix(std::string& text) {
    constexpr std::string_view kOld = ".ldb: No such file";
    if (auto at = text.find(kOld); at != std::string::npos) text.replace(at, 4, ".sst");
}

rocksdb::CompressionType compression() {
    for (rocksdb::CompressionType type : rocksdb::GetSupportedCompressions()) {
        if (type == rocksdb::kLZ4Compression) return type;
    }
    return rocksdb::kNoCompression;
}

// Turns a store's batches into one of RocksDB's. Ranges are removed key by key, never by a range tombstone: with one in
// sight, an iterator of RocksDB 7.8 may pass over a damaged block and say nothing (rocksdb_state_test plants that).
class BatchWriter {
  public:
    BatchWriter(rocksdb::DB& database, rocksdb::WriteBatch& out, bool with_ranges, Damages& damages)
        : database_(database), out_(out), with_ranges_(with_ranges), damages_(damages) {}

    void put(std::string_view key, std::string_view value) {
        if (with_ranges_) puts_.insert(key);
        keep(out_.Put(slice(key), slice(value)));
    }
    void remove(std::string_view key) { keep(out_.Delete(slice(key))); }
    void remove_range(std::string_view begin, std::string_view end) {
        for (auto put = puts_.lower_bound(begin); put != puts_.end() && *put < end; ++put) remove(*put);
        rocksdb::ReadOptions options;
        options.fill_cache = false;
        rocksdb::Slice upper = slice(end);
        options.iterate_upper_bound = &upper;
        std::unique_ptr<rocksdb::Iterator> at(database_.NewIterator(options));
        for (at->Seek(slice(begin)); at->Valid(); at->Next()) keep(out_.Delete(at->key()));
        // What is removed belongs to something that has gone, and its like never comes again: what cannot be read any
        // more may stay. A removal must not end a server that goes on with all the rest.
        if (at->status().IsCorruption()) return damages_.tell(at->status());
        keep(at->status());
    }
    const rocksdb::Status& status() const { return status_; }

  private:
    void keep(const rocksdb::Status& status) {
        if (status_.ok()) status_ = status;
    }

    rocksdb::DB& database_;
    rocksdb::WriteBatch& out_;
    const bool with_ranges_;  // there are range removals: the puts before them have to be known
    Damages& damages_;
    std::set<std::string_view> puts_;
    rocksdb::Status status_;
};

struct RangeFinder {
    bool found = false;
    void put(std::string_view, std::string_view) {}
    void remove(std::string_view) {}
    void remove_range(std::string_view, std::string_view) { found = true; }
};

template <typename Record>
rocksdb::Status put_record(rocksdb::WriteBatch& out, const Record& record) {
    std::vector<std::uint8_t> value;
    bytes::Writer writer(value);
    record.encode_value(writer);
    return out.Put(slice(Record::key()), slice(bytes::as_text(value)));
}

rocksdb::WriteOptions write_options() {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    options.no_slowdown = true;  // says so instead of holding a thread of the pool
    return options;
}

Result<> make_directory(const std::string& directory) {
    std::error_code error;
    bool made = std::filesystem::create_directory(directory, error);
    if (!error && made) {
        std::string parent = std::filesystem::path(directory + "/..").string();
        int fd = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || ::fsync(fd) != 0) error = std::error_code(errno, std::generic_category());
        if (fd >= 0) ::close(fd);
    }
    if (!error) return {};
    Errc code = error == std::errc::no_space_on_device ? Errc::kNoSpace : Errc::kIo;
    return fail(code, fmt::format("cannot make {}: {}", directory, error.message()));
}

}  // namespace

// ---- shared by the stores of a node ----

struct StateResources::Parts {
    std::shared_ptr<rocksdb::Cache> cache;
    std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
    std::atomic<std::uint64_t> damages{0};
};

StateResources::StateResources(StateResourceOptions options) : options_(options), parts_(std::make_unique<Parts>()) {
    constexpr int kShardBits = 4;
    constexpr double kForIndicesAndFilters = 0.5;
    parts_->cache = rocksdb::NewLRUCache(options_.cache_bytes, kShardBits, false, kForIndicesAndFilters);
    parts_->write_buffers = std::make_shared<rocksdb::WriteBufferManager>(options_.write_buffer_bytes, parts_->cache);
    rocksdb::Env::Default()->SetBackgroundThreads(options_.flush_threads, rocksdb::Env::HIGH);
    rocksdb::Env::Default()->SetBackgroundThreads(options_.compaction_threads, rocksdb::Env::LOW);
}

StateResources::~StateResources() = default;

std::size_t StateResources::cache_used_bytes() const { return parts_->cache->GetUsage(); }
std::uint64_t StateResources::damages() const { return parts_->damages.load(std::memory_order_relaxed); }
std::size_t StateResources::write_buffer_used_bytes() const { return parts_->write_buffers->memory_usage(); }

// ---- opening ----

struct Database::Rocks {
    Rocks(ContainerId container, std::atomic<std::uint64_t>& count)
        : damages(std::make_shared<Damages>(container, count)) {}

    std::shared_ptr<BackgroundError> background = std::make_shared<BackgroundError>();
    std::shared_ptr<Damages> damages;
    std::shared_ptr<std::atomic<bool>> compacts = std::make_shared<std::atomic<bool>>(true);
    bool without_compactions = false;
    std::unique_ptr<rocksdb::DB> db;

    rocksdb::Options options(const DatabaseOptions& ours, StateResources& resources);
    Error error(const DatabaseOptions& ours, const rocksdb::Status& status);
    void follow_compactions();
};

rocksdb::Options Database::Rocks::options(const DatabaseOptions& ours, StateResources& resources) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.info_log = std::make_shared<ForwardingLogger>(ours.container);
    options.listeners.push_back(std::make_shared<ErrorListener>(background, damages, compacts));
    options.max_bgerror_resume_count = 0;
    options.avoid_flush_during_shutdown = true;

    // Memory and threads: of the node, not of the store.
    options.write_buffer_manager = resources.parts_->write_buffers;
    options.write_buffer_size = ours.write_buffer_bytes;
    options.max_write_buffer_number = 4;
    options.max_open_files = ours.open_files_max;
    options.max_file_opening_threads = 1;
    options.max_background_flushes = resources.options().flush_threads;
    options.max_background_compactions = resources.options().compaction_threads;
    options.max_subcompactions = 1;
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    options.skip_stats_update_on_db_open = true;

    // Files.
    options.compression = compression();
    options.level_compaction_dynamic_level_bytes = true;
    // Checkpoints make many small files, and each merge rewrites much of the level below: so seldom, and writers are
    // held only far beyond that.
    options.level0_file_num_compaction_trigger = 12;
    options.level0_slowdown_writes_trigger = 40;
    options.level0_stop_writes_trigger = 60;
    // Records of a kind come nearly sorted. Not to be mixed with range tombstones, of which there are none
    // (BatchWriter).
    options.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(1));
    options.target_file_size_base = 16 * kMiB;
    options.max_bytes_for_level_base = 64 * kMiB;
    options.max_manifest_file_size = 4 * kMiB;
    options.manifest_preallocation_size = 64 * kKiB;
    options.bytes_per_sync = 1 * kMiB;
    options.paranoid_checks = true;

    rocksdb::BlockBasedTableOptions table;
    table.block_cache = resources.parts_->cache;
    table.cache_index_and_filter_blocks = true;
    table.cache_index_and_filter_blocks_with_high_priority = true;
    table.pin_l0_filter_and_index_blocks_in_cache = true;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.checksum = rocksdb::kXXH3;
    table.format_version = 5;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

Error Database::Rocks::error(const DatabaseOptions& ours, const rocksdb::Status& status) {
    std::string text = status.ToString();
    if (db != nullptr && status.IsCorruption()) damages->tell(status);
    if (db == nullptr) {
        correct_suffix(text);
        if (status.IsCorruption()) text += damaged_tables(ours.directory);
    }
    std::string what = fmt::format("state of container {} in {}: {}", ours.container.value(), ours.directory, text);
    if (status.IsCorruption()) {
        return Error(Errc::kCorrupt, what +
                                         "; the files were changed from outside or the device is bad: restore the "
                                         "data directory from a copy");
    }
    if (status.IsNoSpace()) return Error(Errc::kNoSpace, what);
    if (status.IsIncomplete()) return Error(Errc::kUnavailable, what);
    if (status.IsShutdownInProgress() || status.IsAborted()) return Error(Errc::kClosed, what);
    // The only sign of it: "While lock file: ...", "lock hold by current process".
    if (text.find("lock file") != std::string::npos || text.find("lock hold") != std::string::npos) {
        return Error(Errc::kLocked, what);
    }
    return Error(Errc::kIo, what);
}

Database::Database(DatabaseOptions options, std::shared_ptr<StateResources> resources)
    : options_(std::move(options)),
      resources_(std::move(resources)),
      rocks_(std::make_unique<Rocks>(options_.container, resources_->parts_->damages)) {}

Database::~Database() = default;

Result<std::shared_ptr<Database>> Database::open(DatabaseOptions options, std::shared_ptr<StateResources> resources) {
    std::shared_ptr<Database> database(new Database(std::move(options), std::move(resources)));
    if (auto made = make_directory(database->options_.directory); !made) return fail(made.error());
    if (auto opened = database->open_files(); !opened) return fail(opened.error());
    if (auto checked = database->check_identity(); !checked) return fail(checked.error());
    return database;
}

Result<> Database::open_files() {
    rocksdb::DB* opened = nullptr;
    rocksdb::Status status = rocksdb::DB::Open(rocks_->options(options_, *resources_), options_.directory, &opened);
    if (!status.ok()) return fail(rocks_->error(options_, status));
    rocks_->db.reset(opened);
    return {};
}

// What it says of itself; a new directory gets to say it.
Result<> Database::check_identity() {
    auto place = [this](const Error& error) {
        return fail(Error(error.code(), fmt::format("state of container {} in {}: {}", options_.container.value(),
                                                    options_.directory, error.message())));
    };
    auto identity = get(IdentityRecord::key());
    if (!identity) return fail(identity.error());
    if (!identity->value) {
        bool empty = true;
        auto visited = load({}, [&](std::string_view, std::string_view) -> Result<> {
            empty = false;
            return fail(Errc::kCorrupt,
                        "it has records, but does not say whose; restore the data directory from a copy");
        });
        if (!empty) return place(visited.error());
        if (!visited) return visited;
        rocksdb::WriteBatch batch;
        rocksdb::Status status = put_record(batch, IdentityRecord{kStateFormat, options_.container});
        if (status.ok()) status = rocks_->db->Write(write_options(), &batch);
        if (status.ok()) status = rocks_->db->Flush({});
        if (!status.ok()) return fail(rocks_->error(options_, status));
        return {};
    }
    auto found = IdentityRecord::decode(IdentityRecord::key(), *identity->value);
    if (!found) return place(found.error());
    if (found->container != options_.container) {
        return place(Error(Errc::kCorrupt, fmt::format("it is that of container {}", found->container.value())));
    }
    auto applied = get(AppliedRecord::key());
    if (!applied) return fail(applied.error());
    if (!applied->value) return {};
    auto record = AppliedRecord::decode(AppliedRecord::key(), *applied->value);
    if (!record) return place(record.error());
    written_.store(record->through.value(), std::memory_order_release);
    return {};
}

// ---- writing ----

Result<> Database::check_space() const {
    if (options_.min_free_bytes == 0) return {};
    std::error_code error;
    std::filesystem::space_info space = std::filesystem::space(options_.directory, error);
    if (error || space.available >= options_.min_free_bytes) return {};
    return fail(Errc::kUnavailable,
                fmt::format("state of container {} in {}: the disk has only {} MiB left", options_.container.value(),
                            options_.directory, space.available / kMiB));
}

Result<> Database::write(std::span<const StateBatch* const> batches, LogSequence through) {
    std::size_t size = 64;
    RangeFinder ranges;
    for (const StateBatch* batch : batches) {
        size += batch->size_bytes();
        batch->for_each(ranges);
    }
    rocksdb::Status status = rocks_->background->get();
    if (status.ok() && must_wait())
        return fail(Errc::kUnavailable, "the disk does not keep up with the state's changes");
    rocksdb::WriteBatch all(size);
    rocks_->follow_compactions();
    if (status.ok()) {
        BatchWriter writer(*rocks_->db, all, ranges.found, *rocks_->damages);
        for (const StateBatch* batch : batches) batch->for_each(writer);
        status = writer.status();
    }
    if (status.ok()) status = put_record(all, AppliedRecord{through});
    if (status.ok()) status = rocks_->db->Write(write_options(), &all);
    if (!status.ok()) return fail(rocks_->error(options_, status));
    written_.store(through.value(), std::memory_order_release);
    return {};
}

// Not from the listener: it runs in the middle of what has failed.
void Database::Rocks::follow_compactions() {
    if (without_compactions || compacts->load(std::memory_order_acquire)) return;
    without_compactions = db->SetOptions({{"disable_auto_compactions", "true"}}).ok();
}

// RocksDB starts a flush when the stores' buffers are full, but lets writers go on. Only for a flush of this store that
// is under way: others may keep their buffers for long.
bool Database::must_wait() {
    if (resources_->write_buffer_used_bytes() <= resources_->options().write_buffer_bytes) return false;
    std::uint64_t flushing = 0;
    rocks_->db->GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &flushing);
    return flushing > 0;
}

Result<LogSequence> Database::flush() {
    LogSequence through = written();
    rocksdb::FlushOptions options;
    options.wait = true;
    options.allow_write_stall = true;  // writers see a stall as "not now"; waiting here would hold a thread of the pool
    rocksdb::Status status = rocks_->background->get();
    if (status.ok()) status = rocks_->db->Flush(options);
    if (status.ok()) status = rocks_->background->get();
    if (!status.ok()) return fail(rocks_->error(options_, status));
    auto on_disk = persisted();
    if (!on_disk) return fail(on_disk.error());
    if (*on_disk < through) {
        return fail(Errc::kIo,
                    fmt::format("state of container {} in {}: a flush up to {} left the files at {}",
                                options_.container.value(), options_.directory, through.value(), on_disk->value()));
    }
    return through;
}

// The last batch in the files that the manifest on disk names; what is only in memory does not count.
Result<LogSequence> Database::persisted() {
    if (written().value() == 0) return LogSequence(0);
    rocksdb::ReadOptions options;
    options.read_tier = rocksdb::kPersistedTier;
    std::string value;
    rocksdb::Status status = rocks_->db->Get(options, slice(AppliedRecord::key()), &value);
    if (status.IsNotFound()) return LogSequence(0);
    if (!status.ok()) return fail(rocks_->error(options_, status));
    auto record = AppliedRecord::decode(AppliedRecord::key(), value);
    if (!record) return fail(record.error());
    return record->through;
}

// ---- reading ----

Result<StateValue> Database::get(const std::string& key) {
    StateValue result;
    result.includes = written();
    std::string value;
    rocksdb::Status status = rocks_->db->Get({}, slice(key), &value);
    if (status.IsNotFound()) return result;
    if (!status.ok()) return fail(rocks_->error(options_, status));
    result.value = std::move(value);
    return result;
}

Result<StateValues> Database::multi_get(const std::vector<std::string>& keys) {
    StateValues result;
    result.includes = written();
    result.values.resize(keys.size());
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    rocksdb::ManagedSnapshot snapshot(rocks_->db.get());
    rocksdb::ReadOptions options;
    options.snapshot = snapshot.snapshot();
    rocks_->db->MultiGet(options, rocks_->db->DefaultColumnFamily(), keys.size(), slices.data(), values.data(),
                         statuses.data());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (statuses[i].IsNotFound()) continue;
        if (!statuses[i].ok()) return fail(rocks_->error(options_, statuses[i]));
        result.values[i] = values[i].ToString();
    }
    return result;
}

Result<ScanPage> Database::scan(const ScanRequest& request) {
    ScanPage page;
    page.includes = written();
    const KeyRange& range = request.range;
    if (!range.end.empty() && range.end <= range.begin) return page;
    rocksdb::ReadOptions options;
    rocksdb::Slice lower = slice(range.begin);
    rocksdb::Slice upper = slice(range.end);
    options.iterate_lower_bound = &lower;
    if (!range.end.empty()) options.iterate_upper_bound = &upper;
    std::unique_ptr<rocksdb::Iterator> at(rocks_->db->NewIterator(options));
    std::size_t size = 0;
    for (request.descending ? at->SeekToLast() : at->SeekToFirst(); at->Valid();
         request.descending ? at->Prev() : at->Next()) {
        if (page.entries.size() >= request.max_entries || (size >= request.max_bytes && !page.entries.empty())) {
            const std::string& last = page.entries.back().first;
            page.rest = request.descending ? KeyRange{range.begin, last} : KeyRange{next_key(last), range.end};
            break;
        }
        page.entries.emplace_back(view(at->key()), view(at->value()));
        size += at->key().size() + at->value().size();
    }
    if (!at->status().ok()) return fail(rocks_->error(options_, at->status()));
    return page;
}

Result<> Database::load(const KeyRange& range, const StateStore::Visit& visit) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = kLoadReadahead;
    rocksdb::Slice upper = slice(range.end);
    if (!range.end.empty()) options.iterate_upper_bound = &upper;
    std::unique_ptr<rocksdb::Iterator> at(rocks_->db->NewIterator(options));
    for (at->Seek(slice(range.begin)); at->Valid(); at->Next()) {
        if (auto visited = visit(view(at->key()), view(at->value())); !visited) return visited;
    }
    if (!at->status().ok()) return fail(rocks_->error(options_, at->status()));
    return {};
}

Database::Sizes Database::sizes() {
    Sizes sizes;
    rocks_->db->GetIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &sizes.disk_bytes);
    rocks_->db->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &sizes.write_buffer_bytes);
    rocks_->db->GetIntProperty(rocksdb::DB::Properties::kEstimateTableReadersMem, &sizes.reader_bytes);
    return sizes;
}

}  // namespace millrace::container::state
