// Descriptors of objects that were read last, so that reading an object range by range opens it once. What several ask
// for at once is opened once, too. We never replace an object, but somebody may bring a damaged one back from a copy: a
// descriptor is used for two seconds. What another process removes takes disk space until its descriptor has left here.
//
// Thread rule: on the executor.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "io/file.h"
#include "runtime/executor.h"

namespace millrace::lts {

struct OpenObject {
    std::shared_ptr<io::File> file;
    std::uint64_t size = 0;
};

class OpenObjects {
  public:
    using Done = runtime::Callback<Result<OpenObject>>;

    // Keeps at most `kept` of them open beside those that are being read.
    OpenObjects(io::FileSystem& files, const Clock& clock, std::size_t kept)
        : files_(files), clock_(clock), kept_(kept), table_(std::make_shared<Table>()) {}

    // kNotFound, also for a folder. May complete within the call.
    void open(const std::string& path, Done done);
    void forget(const std::string& path);  // it was removed
    std::size_t size() const { return table_->order.size(); }

  private:
    struct Entry {
        OpenObject object;  // no file: being opened
        std::chrono::steady_clock::time_point asked_at;
        std::vector<Done> waiting;
        std::list<std::string>::iterator place;
    };
    struct Table {
        std::map<std::string, std::shared_ptr<Entry>> entries;
        std::list<std::string> order;  // of those that are open: the next to go is in front
    };
    static void opened(Table& table, const std::string& path, const std::shared_ptr<Entry>& entry,
                       Result<OpenObject> result, std::size_t kept);

    io::FileSystem& files_;
    const Clock& clock_;
    const std::size_t kept_;
    std::shared_ptr<Table> table_;
};

}  // namespace millrace::lts
