#include "table_client.h"

#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "peer_socket.h"
#include "request_loop.h"
#include "wire/codec.h"

namespace millrace::bench {
namespace {

class Create final : public RequestLoad {
  public:
    explicit Create(const std::vector<std::string>& names) : names_(names) {}
    bool next(std::size_t, bytes::Writer& out) override {
        if (made_ == names_.size()) return false;
        wire::CreateTableSegment request;
        request.request_id = static_cast<std::int64_t>(made_);
        request.segment = names_[made_++];
        wire::encode(request, out);
        return true;
    }
    bool answered(std::size_t, const wire::Frame& answer) override {
        return answer.type == wire::CommandType::kSegmentCreated;
    }

  private:
    const std::vector<std::string>& names_;
    std::size_t made_ = 0;
};

class Access final : public RequestLoad {
  public:
    Access(const TableLoad& load, const std::vector<std::string>& names, bool updates, std::size_t keys)
        : load_(load),
          names_(names),
          updates_(updates),
          keys_(keys),
          next_(static_cast<std::size_t>(load.connections)) {
        for (std::size_t i = 0; i < next_.size(); ++i) next_[i] = i * 7919;
    }
    bool next(std::size_t connection, bytes::Writer& out) override {
        const std::string& table = names_[connection % names_.size()];
        if (updates_) {
            wire::UpdateTableEntries request;
            request.request_id = static_cast<std::int64_t>(connection);
            request.segment = table;
            for (int i = 0; i < load_.batch; ++i) {
                wire::TableEntry entry;
                entry.key = key(connection);
                entry.value.assign(static_cast<std::size_t>(load_.value_bytes), 'v');
                request.entries.push_back(std::move(entry));
            }
            wire::encode(request, out);
        } else {
            wire::ReadTable request;
            request.request_id = static_cast<std::int64_t>(connection);
            request.segment = table;
            for (int i = 0; i < load_.batch; ++i) request.keys.push_back({key(connection), wire::kNoVersion});
            wire::encode(request, out);
        }
        return true;
    }
    bool answered(std::size_t, const wire::Frame& answer) override {
        requests += 1;
        return answer.type == (updates_ ? wire::CommandType::kTableEntriesUpdated : wire::CommandType::kTableRead);
    }
    double requests = 0;

  private:
    std::string key(std::size_t connection) { return fmt::format("key-{:012}", next_[connection]++ % keys_); }
    const TableLoad& load_;
    const std::vector<std::string>& names_;
    bool updates_;
    std::size_t keys_;
    std::vector<std::size_t> next_;
};

}  // namespace

int run_table(const TableLoad& load) {
    std::string prefix = load.prefix.empty() ? "bench/tables-" + std::to_string(now_us()) : load.prefix;
    std::vector<std::string> names;
    for (int t = 0; t < load.tables; ++t) names.push_back(prefix + "/_tables/" + std::to_string(t));
    RequestLoop loop(load.host, load.port, static_cast<std::size_t>(load.connections),
                     static_cast<std::size_t>(load.window));
    Create create(names);
    loop.run(create, 60);
    auto keys = static_cast<std::size_t>(load.keys);
    Access updates(load, names, true, keys);
    double update_seconds = loop.run(updates, load.seconds);
    Access gets(load, names, false, keys);
    double get_seconds = loop.run(gets, load.seconds);
    std::printf("table tables=%d connections=%d batch=%d keys=%d updates_s=%.0f gets_s=%.0f\n", load.tables,
                load.connections, load.batch, load.keys, updates.requests * load.batch / update_seconds,
                gets.requests * load.batch / get_seconds);
    return 0;
}

}  // namespace millrace::bench
