// Answers GET /metrics: asks every part of the process what it has counted, the containers on their own loops, and
// writes it down. Requests that come while one is being answered get the same answer: parts are asked once.
//
// Query parameters: stream=SCOPE/STREAM, any number of them up to kStreamsAsked: the families of streams have these
// alone, whether or not --metrics-streams would name them.
//
// Thread rule: the control loop. Life cycle: made when all parts serve, destroyed after the loops have ended.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/grpc/grpc_server.h"
#include "api/metrics/http_meter.h"
#include "api/metrics/stream_census.h"
#include "api/rest/http.h"
#include "container/container.h"
#include "controller/controller.h"
#include "node/metrics_text.h"
#include "runtime/core_loop.h"

namespace millrace::node {

class Metrics {
  public:
    static constexpr std::chrono::milliseconds kPatience{2'000};  // for containers, and for the census
    static constexpr std::size_t kStreamsAsked = 100;

    struct Sources {
        std::vector<container::SegmentContainer*> containers;
        // Fills what can be read from any thread; runs on the control loop.
        std::function<void(MetricsSnapshot& snapshot)> fill;
    };

    Metrics(runtime::CoreLoop& control, controller::Controller& controller, Sources sources, std::size_t named_max);
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    void scrape(const rest::HttpRequest& request, rest::Respond respond);
    metrics::HttpMeter& http() { return http_; }

  private:
    struct Scrape;

    void ask_containers(const std::shared_ptr<Scrape>& scrape);
    void answer(Scrape& scrape);

    runtime::CoreLoop& control_;
    const Sources sources_;
    metrics::HttpMeter http_;
    metrics::StreamCensus census_;
    std::shared_ptr<Scrape> common_;  // under way, without parameters
};

}  // namespace millrace::node
