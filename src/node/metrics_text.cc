#include "node/metrics_text.h"

#include <fmt/format.h>

#include "api/metrics/exposition.h"

namespace millrace::node {
namespace {

using container::ContainerStats;
using metrics::Exposition;

constexpr std::array<std::string_view, 3> kWindows{"10s", "1m", "10m"};

void write_process(Exposition& out, const MetricsSnapshot& now) {
    out.gauge("millrace_build_info", "What this program is; always 1.");
    out.value(std::uint64_t{1},
              {{"version", now.build.version}, {"revision", now.build.revision}, {"compiler", now.build.compiler}});
    out.gauge("millrace_ready", "1 while every part serves, else 0.");
    out.value(std::uint64_t{now.ready ? 1U : 0U});
    out.gauge("millrace_uptime_seconds", "Since the process began to serve.");
    out.value(now.uptime_seconds);
    out.gauge("process_start_time_seconds", "When the process began, in seconds since the epoch.");
    out.value(now.start_seconds);
    out.counter("process_cpu_seconds_total", "User and system time of the process.");
    out.value(now.process.cpu_seconds);
    out.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.");
    out.value(now.process.resident_bytes);
    out.gauge("process_virtual_memory_bytes", "Address space of the process.");
    out.value(now.process.virtual_bytes);
    out.gauge("process_open_fds", "Open files and sockets.");
    out.value(now.process.open_files);
    out.gauge("process_max_fds", "Limit of open files and sockets.");
    out.value(now.process.max_files);
    out.gauge("millrace_threads", "Threads of the process.");
    out.value(now.process.threads);
    out.counter("millrace_thread_cpu_seconds_total",
                "Time by name of thread; a shard that gains one second a second is full.");
    for (const auto& [name, seconds] : now.process.thread_cpu_seconds) out.value(seconds, {{"thread", name}});
    out.counter("millrace_log_messages_total", "Lines of the log, by level.");
    out.value(now.log_warnings, {{"level", "warn"}});
    out.value(now.log_errors, {{"level", "error"}});
    out.counter("millrace_stalls_total", "Times that a loop was held for more than 20 ms by one task.");
    out.value(now.stalls);
    out.gauge("millrace_longest_stall_seconds", "The longest of them since the start.");
    out.value(now.longest_stall_seconds);
}

void write_journal(Exposition& out, const MetricsSnapshot& now) {
    const wal::local::JournalStats& journal = now.journal;
    out.counter("millrace_journal_syncs_total", "Synced writes of the journal.");
    out.value(journal.writes);
    out.counter("millrace_journal_written_bytes_total", "Bytes of these writes, headers and padding included.");
    out.value(journal.written_bytes);
    out.counter("millrace_journal_frames_total", "Frames in these writes: groups of operations of one container.");
    out.value(journal.frames);
    out.counter("millrace_journal_failed_syncs_total", "Writes that failed; the first one ends the process.");
    out.value(journal.failed_writes);
    out.counter("millrace_journal_refused_frames_total", "Frames that were refused because the journal was full.");
    out.value(journal.refused_frames);
    out.counter("millrace_journal_damaged_frames_total",
                "Frames that a read found changed on disk; what is in them is neither served nor moved.");
    out.value(journal.damaged_frames);
    out.gauge("millrace_journal_syncs_in_flight", "Writes that are on their way to the disk.");
    out.value(journal.writes_in_flight);
    out.histogram("millrace_journal_sync_seconds", "From giving a write to the system until it is on stable storage.");
    out.value(journal.write_latency);
    out.gauge("millrace_journal_used_bytes", "What the journal's files take of the disk.");
    out.value(now.journal_space.used_bytes);
    out.gauge("millrace_journal_limit_bytes", "What they may take at most (--journal-limit).");
    out.value(now.journal_space.limit_bytes);
    out.gauge("millrace_journal_full", "1 while writers wait because the journal is full, else 0.");
    out.value(std::uint64_t{now.journal_space.full ? 1U : 0U});
    out.gauge("millrace_journal_recovered_frames", "Frames that this start read back.");
    out.value(now.recovered.frames);
    out.gauge("millrace_journal_torn_tails", "Incomplete frames at the journal's end that this start repaired.");
    out.value(now.recovered.torn_tails);
    if (now.data_disk.size_bytes == 0) return;
    out.gauge("millrace_data_disk_free_bytes", "Free space of the disk with the data directory.");
    out.value(now.data_disk.free_bytes);
    out.gauge("millrace_data_disk_size_bytes", "Size of that disk.");
    out.value(now.data_disk.size_bytes);
}

// One family with a value for each container.
template <typename Value>
void each(Exposition& out, const MetricsSnapshot& now, Value value) {
    for (const ContainerFigures& container : now.answered)
        out.value(std::uint64_t{value(container.stats)}, {{"container_id", fmt::to_string(container.id.value())}});
}

void write_containers(Exposition& out, const MetricsSnapshot& now) {
    out.gauge("millrace_containers", "Containers of this process.");
    out.value(now.containers);
    out.gauge("millrace_containers_silent",
              "Containers that did not answer this scrape in time; their figures are not in it.");
    out.value(now.containers - now.answered.size());
    out.gauge("millrace_container_failed", "1 when the container's log has failed, else 0.");
    each(out, now, [](const ContainerStats& c) { return c.failed ? 1U : 0U; });
    out.gauge("millrace_container_segments", "Segments, those of streams and internal ones.");
    each(out, now, [](const ContainerStats& c) { return c.segments; });
    out.counter("millrace_container_appends_total", "Appends that are durable.");
    each(out, now, [](const ContainerStats& c) { return c.appends; });
    out.counter("millrace_container_events_total", "Events in these appends.");
    each(out, now, [](const ContainerStats& c) { return c.events; });
    out.counter("millrace_container_append_bytes_total", "Bytes of these appends.");
    each(out, now, [](const ContainerStats& c) { return c.append_bytes; });
    out.counter("millrace_container_operations_total",
                "Other operations: of segments, attributes and tables, and of writers that begin.");
    each(out, now, [](const ContainerStats& c) { return c.operations; });
    out.counter("millrace_container_frames_total", "Frames that the container has logged.");
    each(out, now, [](const ContainerStats& c) { return c.frames; });
    out.gauge("millrace_container_waiting_reads", "Readers that wait at the end of a segment.");
    each(out, now, [](const ContainerStats& c) { return c.waiting_reads; });
    out.gauge("millrace_container_index_entries", "Entries in memory for the places of bytes in the journal.");
    each(out, now, [](const ContainerStats& c) { return c.index_entries; });
    out.gauge("millrace_container_log_bytes", "Bytes of the journal that are kept for the container.");
    each(out, now, [](const ContainerStats& c) { return c.log_bytes_held; });
    out.gauge("millrace_container_log_bytes_since_checkpoint", "Logged since the last checkpoint of this process.");
    each(out, now, [](const ContainerStats& c) { return c.log_bytes_since_checkpoint; });
    out.counter("millrace_container_checkpoints_total", "Checkpoints that were written.");
    each(out, now, [](const ContainerStats& c) { return c.checkpoints; });
    out.gauge("millrace_container_checkpoint_timestamp_seconds",
              "When the last checkpoint was durable, in seconds since the epoch; absent before the first one.");
    for (const ContainerFigures& container : now.answered) {
        if (container.stats.checkpoint_ms == 0) continue;
        out.value(static_cast<double>(container.stats.checkpoint_ms) / 1e3,
                  {{"container_id", fmt::to_string(container.id.value())}});
    }
    out.gauge("millrace_container_state_waiting_bytes", "Changes that are in the journal and not in the state yet.");
    each(out, now, [](const ContainerStats& c) { return c.state_waiting_bytes + c.state_queued_bytes; });
    out.gauge("millrace_container_state_memory_bytes", "Memory of the state, without its cache.");
    each(out, now, [](const ContainerStats& c) { return c.state_memory_bytes; });
    out.gauge("millrace_container_state_disk_bytes", "Files of the state.");
    each(out, now, [](const ContainerStats& c) { return c.state_disk_bytes; });
    out.counter("millrace_state_damages_total",
                "Places in the states' files that were found damaged; what depends on them is refused.");
    out.value(now.state_damages);
    out.gauge("millrace_container_table_entries", "Entries of table segments.");
    each(out, now, [](const ContainerStats& c) { return c.table_entries; });
    out.counter("millrace_container_table_updates_total", "Updates of table segments.");
    each(out, now, [](const ContainerStats& c) { return c.table_updates; });
    out.counter("millrace_container_table_items_total", "Entries in these updates.");
    each(out, now, [](const ContainerStats& c) { return c.table_items; });
}

void write_caches(Exposition& out, const MetricsSnapshot& now) {
    out.gauge("millrace_cache_bytes", "Memory of recent data (--cache).");
    each(out, now, [](const ContainerStats& c) { return c.cache_bytes; });
    out.counter("millrace_reads_total",
                "Reads of segments by where the bytes were: memory (a hit), log or storage (misses).");
    for (const ContainerFigures& container : now.answered) {
        std::string id = fmt::to_string(container.id.value());
        out.value(container.stats.reads_from_memory, {{"container_id", id}, {"source", "memory"}});
        out.value(container.stats.reads_from_log, {{"container_id", id}, {"source", "log"}});
        out.value(container.stats.reads_from_storage, {{"container_id", id}, {"source", "storage"}});
    }
    out.gauge("millrace_storage_cache_bytes", "Memory of data from long-term storage (--storage-cache).");
    each(out, now, [](const ContainerStats& c) { return c.tiering.reader.cached_bytes; });
    out.counter("millrace_storage_cache_hits_total", "Blocks that were in it.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.reader.hits; });
    out.counter("millrace_storage_cache_misses_total", "Blocks that had to be loaded.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.reader.misses; });
}

void write_storage(Exposition& out, const MetricsSnapshot& now) {
    out.gauge("millrace_storage_backlog_bytes", "Bytes that are only in the journal.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.log_only_bytes; });
    out.gauge("millrace_storage_failing", "1 while long-term storage takes nothing from the container, else 0.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.trouble ? 1U : 0U; });
    out.counter("millrace_storage_holds_total",
                "Times that appends waited for storage on the journal's disk to keep pace.");
    each(out, now, [](const ContainerStats& c) { return c.holds; });
    out.gauge("millrace_storage_objects", "Objects that segments refer to.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.objects; });
    out.gauge("millrace_storage_object_bytes", "Data in these objects.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.object_bytes; });
    out.gauge("millrace_storage_garbage_objects", "Objects that are to be removed.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.garbage_objects; });
    out.gauge("millrace_storage_writes_in_flight", "Objects that are being written.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.objects_in_flight; });
    out.counter("millrace_storage_written_objects_total", "Objects that were written.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.written_objects; });
    out.counter("millrace_storage_written_bytes_total", "Data in them.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.written_bytes; });
    out.counter("millrace_storage_removed_objects_total", "Objects that were removed.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.removed_objects; });
    out.counter("millrace_storage_write_errors_total", "Objects that could not be written; they are tried again.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.failures; });
    out.counter("millrace_storage_loads_total", "Ranges of objects that were read.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.reader.loads; });
    out.counter("millrace_storage_loaded_bytes_total", "Bytes of them.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.reader.loaded_bytes; });
    out.counter("millrace_storage_requests_total", "Requests to the storage server; none for a file system.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.store_requests; });
    out.counter("millrace_storage_retries_total", "Those of them that were repetitions.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.store_retries; });
    out.counter("millrace_storage_throttled_total", "Answers that asked to slow down.");
    each(out, now, [](const ContainerStats& c) { return c.tiering.store_throttled; });
}

void write_store(Exposition& out, const store::StoreStats& store) {
    out.gauge("millrace_connections", "Open connections of clients to the segment store.");
    out.value(store.connections);
    out.counter("millrace_connections_accepted_total", "Connections that were accepted.");
    out.value(store.accepted);
    out.counter("millrace_connections_refused_total", "Connections beyond the limit.");
    out.value(store.refused);
    out.counter("millrace_connections_broken_total", "Connections that were ended for a reason, which is in the log.");
    out.value(store.broken);
    out.gauge("millrace_writers", "Writers: append sessions, one for each writer and segment.");
    out.value(store.writers);
    out.counter("millrace_writers_begun_total", "Append sessions since the start.");
    out.value(store.writers_begun);
    out.counter("millrace_received_appends_total", "Appends that were received.");
    out.value(store.appends);
    out.counter("millrace_received_append_bytes_total", "Bytes of them.");
    out.value(store.append_bytes);
    out.counter("millrace_dropped_appends_total", "Appends behind an error that was reported to their writer.");
    out.value(store.dropped_appends);
    out.counter("millrace_acknowledgements_total", "Acknowledgements; one may stand for many appends.");
    out.value(store.acknowledgements);
    out.counter("millrace_requests_total", "Other requests of the segment store's protocol.");
    out.value(store.requests);
    out.counter("millrace_read_bytes_total", "Bytes sent to readers.");
    out.value(store.read_bytes);
    out.counter("millrace_throttled_total", "Times that a connection was not read for lack of credits.");
    out.value(store.pauses);
    out.gauge("millrace_throttled_connections",
              "Connections that wait for credits, or for their client to take replies.");
    out.value(store.starved);
    out.gauge("millrace_credit_bytes",
              "Memory by account: received and not done; replies not taken; names of writers.");
    out.value(store.outstanding_bytes, {{"account", "outstanding"}});
    out.value(store.read_reply_bytes, {{"account", "replies"}});
    out.value(store.standing_bytes, {{"account", "standing"}});
}

void write_calls(Exposition& out, const MetricsSnapshot& now) {
    out.counter("millrace_grpc_calls_total", "Calls of the controller's methods by status.");
    for (const api::RpcStats& rpc : now.rpcs) {
        for (const auto& [status, count] : rpc.by_status)
            out.value(count, {{"method", rpc.method}, {"status", status}});
    }
    out.gauge("millrace_grpc_calls_in_flight", "Calls that are not answered yet.");
    std::uint64_t under_way = 0;
    for (const api::RpcStats& rpc : now.rpcs) under_way += rpc.under_way;
    out.value(under_way);
    out.histogram("millrace_grpc_call_seconds", "Time until the answer; of methods that were called.");
    for (const api::RpcStats& rpc : now.rpcs) {
        if (!rpc.by_status.empty()) out.value(rpc.latency, {{"method", rpc.method}});
    }
    out.counter("millrace_http_requests_total", "Requests of the REST port by method and status.");
    for (const auto& [what, count] : now.http.requests)
        out.value(count, {{"method", what.first}, {"status", fmt::to_string(what.second)}});
    out.histogram("millrace_http_request_seconds", "Time until the answer.");
    out.value(now.http.latency);
}

void write_streams(Exposition& out, const MetricsSnapshot& now) {
    if (now.census) {
        out.gauge("millrace_scopes", "Scopes, without internal ones.");
        out.value(now.scopes);
        out.gauge("millrace_streams", "Streams, without internal ones.");
        out.value(now.streams);
        out.gauge("millrace_streams_named", "Streams that have figures of their own here (--metrics-streams).");
        out.value(std::uint64_t{now.named.size()});
        out.gauge("millrace_streams_age_seconds", "How long ago scopes, streams and their segments were counted.");
        out.value(now.census_age_seconds);
    }
    auto of_each = [&](auto value) {
        for (const StreamFigures& stream : now.named)
            out.value(value(stream), {{"scope", stream.scope}, {"stream", stream.stream}});
    };
    auto of_windows = [&](std::array<double, 3> StreamFigures::* rates) {
        for (const StreamFigures& stream : now.named) {
            for (std::size_t i = 0; i < kWindows.size(); ++i)
                out.value((stream.*rates)[i],
                          {{"scope", stream.scope}, {"stream", stream.stream}, {"window", kWindows[i]}});
        }
    };
    out.gauge("millrace_stream_segments", "Segments of the stream that are open for writing; 0: it is sealed.");
    of_each([](const StreamFigures& stream) { return stream.segments; });
    out.gauge("millrace_stream_advised_parallelism",
              "Readers that the stream can keep busy: its open segments, at least 1.");
    of_each([](const StreamFigures& stream) { return std::max<std::uint64_t>(stream.segments, 1); });
    out.gauge("millrace_stream_write_events_per_second", "Events written, decaying average over the window.");
    of_windows(&StreamFigures::events);
    out.gauge("millrace_stream_write_bytes_per_second", "Bytes written, decaying average over the window.");
    of_windows(&StreamFigures::bytes);
}

}  // namespace

std::string to_text(const MetricsSnapshot& snapshot) {
    Exposition out;
    write_process(out, snapshot);
    write_journal(out, snapshot);
    write_containers(out, snapshot);
    write_caches(out, snapshot);
    write_storage(out, snapshot);
    write_store(out, snapshot.store);
    write_calls(out, snapshot);
    write_streams(out, snapshot);
    return out.take();
}

}  // namespace millrace::node
