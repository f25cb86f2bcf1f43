// How many scopes and streams there are, and how many segments are open for writing in each of the first `named_max`
// streams: what metrics show of the controller. Streams are taken in the order of scope and name, so that the same ones
// are named as long as none comes or goes before them; internal ones (their names begin with '_') are left out.
//
// A census lists everything that there is, so it is taken when somebody asks and the last one is older than twenty
// times what it took: listings never need more than a twentieth of the time.
//
// Thread rule: the controller's executor, which outlives it. The controller is stopped after the last call.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "controller/controller.h"
#include "runtime/executor.h"

namespace millrace::metrics {

struct StreamSegments {
    std::string scope;
    std::string stream;
    std::uint64_t segments = 0;  // open for writing; 0: sealed
};

struct Census {
    std::uint64_t scopes = 0;  // without internal ones, as all of this
    std::uint64_t streams = 0;
    std::vector<StreamSegments> named;  // by scope and stream
    std::chrono::steady_clock::time_point taken;
};

class StreamCensus {
  public:
    using CensusRef = std::shared_ptr<const Census>;

    StreamCensus(runtime::Executor& executor, controller::Controller& controller, std::size_t named_max);
    ~StreamCensus();
    StreamCensus(const StreamCensus&) = delete;
    StreamCensus& operator=(const StreamCensus&) = delete;

    // The last census when it is fresh enough, or when the new one takes longer than `patience`; null: there is none
    // yet. `done` never runs within the call.
    void take(std::chrono::milliseconds patience, runtime::Callback<CensusRef> done);

    // Of these streams alone, whatever `named_max` is; those that do not exist are left out. Counts no scopes and no
    // streams.
    void of(std::vector<controller::StreamName> streams, runtime::Callback<Census> done);

  private:
    struct Walk;
    struct Count;

    void list_scopes(const std::shared_ptr<Walk>& walk, std::string token);
    void next_scope(const std::shared_ptr<Walk>& walk);
    void list_streams(const std::shared_ptr<Walk>& walk, std::string scope, std::string token);
    void count_segments(std::shared_ptr<Count> count);
    void finished(const std::shared_ptr<Walk>& walk);
    void ended();
    bool is_fresh() const;

    runtime::Executor& executor_;
    controller::Controller& controller_;
    const std::size_t named_max_;
    CensusRef last_;
    std::chrono::steady_clock::duration took_{};
    bool walking_ = false;
    struct Waiting;
    std::vector<std::shared_ptr<Waiting>> waiting_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::metrics
