// Speed of a container's state: batches of small records, readings of many keys, loading.
//   state_bench <directory>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "base/log.h"
#include "container/state/attribute_record.h"
#include "container/state/store_harness.h"

namespace millrace::container::state {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t kSegments = 1000;
constexpr int kPuts = 10'000;

double micros_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

struct Times {
    std::vector<double> micros;
    double median() {
        std::sort(micros.begin(), micros.end());
        return micros.empty() ? 0 : micros[micros.size() / 2];
    }
};

void bench(const std::string& directory) {
    StoreThread thread;
    auto resources = std::make_shared<StateResources>();
    std::unique_ptr<StateStore> store;
    thread.run([&] {
        auto opened = open_rocksdb_state({directory, ContainerId(1)}, resources, thread.pool(), thread.loop());
        if (!opened) {
            fmt::print("{}\n", opened.error().to_string());
            std::exit(1);
        }
        store = std::move(*opened);
    });
    SeededRandom random(1);
    auto attribute = [&] { return AttributeRecord{SegmentId(1 + random.below(kSegments)), {1, random.below(500)}, 7}; };
    Times build;
    Times apply;
    std::uint64_t first = store->applied().value();
    for (std::uint64_t i = 1; i <= 40; ++i) {
        auto begin = Clock::now();
        StateBatch batch;
        for (int j = 0; j < kPuts; ++j) batch.put(attribute());
        build.micros.push_back(micros_since(begin));
        begin = Clock::now();
        if (!thread.apply(*store, std::move(batch), LogSequence(first + i))) std::exit(1);
        apply.micros.push_back(micros_since(begin));
    }
    fmt::print("batch of {} small puts: built in {:.0f} us, applied in {:.0f} us ({:.2f} us a put)\n", kPuts,
               build.median(), apply.median(), apply.median() / kPuts);
    auto begin = Clock::now();
    if (!thread.flush(*store)) std::exit(1);
    fmt::print("flush: {:.1f} ms\n", micros_since(begin) / 1000);

    Times single;
    Times many;
    for (int i = 0; i < 500; ++i) {
        std::vector<std::string> keys;
        for (int j = 0; j < 100; ++j) {
            AttributeRecord record = attribute();
            keys.push_back(AttributeRecord::key(record.segment, record.id));
        }
        begin = Clock::now();
        if (!thread.get(*store, keys[0])) std::exit(1);
        single.micros.push_back(micros_since(begin));
        begin = Clock::now();
        if (!thread.multi_get(*store, std::move(keys))) std::exit(1);
        many.micros.push_back(micros_since(begin));
    }
    fmt::print("get: {:.0f} us; multi_get of 100: {:.0f} us\n", single.median(), many.median());

    begin = Clock::now();
    std::uint64_t records = 0;
    auto loaded = store->load(AttributeRecord::range(), [&](std::string_view, std::string_view) -> Result<> {
        ++records;
        return {};
    });
    if (!loaded) std::exit(1);
    fmt::print("load: {} records in {:.1f} ms\n", records, micros_since(begin) / 1000);
    StateStats stats = thread.stats(*store);
    fmt::print("disk {}, write buffer {}, readers {}, cache {}\n", format_bytes(stats.disk_bytes),
               format_bytes(stats.write_buffer_bytes), format_bytes(stats.reader_bytes),
               format_bytes(resources->cache_used_bytes()));
    thread.close(store);
}

}  // namespace
}  // namespace millrace::container::state

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    millrace::log::set_level(millrace::log::Level::kWarn);
    millrace::container::state::bench(argv[1]);
}
