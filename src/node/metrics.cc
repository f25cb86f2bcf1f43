#include "node/metrics.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include "api/metrics/exposition.h"
#include "controller/names.h"

namespace millrace::node {

using controller::StreamName;

namespace {

// "scope/stream/3.#epoch.1" -> "scope/stream". Nothing for what is no segment of a stream: tables, and transactions,
// whose events count when they are merged.
std::string_view stream_of(std::string_view segment) {
    std::size_t slash = segment.rfind('/');
    std::size_t epoch = segment.rfind(".#epoch.");
    if (slash == std::string_view::npos || epoch == std::string_view::npos || epoch < slash) return {};
    if (segment.find('#', epoch + 2) != std::string_view::npos) return {};
    return segment.substr(0, slash);
}

struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};

}  // namespace

// One answer in the making. The places of the streams are fixed before the containers are asked; they read them.
struct Metrics::Scrape {
    struct Rates {
        std::size_t stream = 0;
        container::TrafficRates rates;
    };

    MetricsSnapshot snapshot;
    std::unordered_map<std::string, std::size_t, NameHash, std::equal_to<>>
        places;  // "scope/stream" -> of snapshot.named
    std::vector<rest::Respond> waiting;
    std::size_t to_come = 0;
    runtime::TimerId timer;
    bool answered = false;
};

Metrics::Metrics(runtime::CoreLoop& control, controller::Controller& controller, Sources sources, std::size_t named_max)
    : control_(control),
      sources_(std::move(sources)),
      http_(control.clock()),
      census_(control, controller, named_max) {}

Metrics::~Metrics() = default;

void Metrics::scrape(const rest::HttpRequest& request, rest::Respond respond) {
    std::vector<StreamName> asked;
    for (const auto& [name, value] : request.query) {
        if (name != "stream") continue;
        auto stream = controller::parse_scoped_name(value);
        if (!stream) return respond(rest::HttpResponse::error(400, "stream must be SCOPE/STREAM"));
        if (asked.size() == kStreamsAsked) return respond(rest::HttpResponse::error(400, "too many streams"));
        asked.push_back(std::move(*stream));
    }
    if (asked.empty() && common_) return common_->waiting.push_back(std::move(respond));
    auto scrape = std::make_shared<Scrape>();
    scrape->waiting.push_back(std::move(respond));
    auto named = [this, scrape](const metrics::Census& census) {
        for (const metrics::StreamSegments& stream : census.named) {
            scrape->places.emplace(stream.scope + "/" + stream.stream, scrape->snapshot.named.size());
            scrape->snapshot.named.push_back({stream.scope, stream.stream, stream.segments, {}, {}});
        }
        ask_containers(scrape);
    };
    if (!asked.empty()) return census_.of(std::move(asked), std::move(named));
    common_ = scrape;
    census_.take(kPatience, [this, scrape, named](const metrics::StreamCensus::CensusRef& census) {
        if (census == nullptr) return named({});
        scrape->snapshot.census = true;
        scrape->snapshot.scopes = census->scopes;
        scrape->snapshot.streams = census->streams;
        std::chrono::duration<double> age = control_.clock().now() - census->taken;
        scrape->snapshot.census_age_seconds = age.count();
        named(*census);
    });
}

void Metrics::ask_containers(const std::shared_ptr<Scrape>& scrape) {
    scrape->to_come = sources_.containers.size();
    scrape->timer = control_.call_after(kPatience, [this, scrape] { answer(*scrape); });
    for (container::SegmentContainer* asked : sources_.containers) {
        asked->executor().post([this, scrape, asked] {
            ContainerFigures figures{asked->id(), asked->stats()};
            std::vector<Scrape::Rates> rates;
            if (!scrape->places.empty()) {
                for (container::SegmentTraffic& traffic : asked->traffic()) {
                    auto place = scrape->places.find(stream_of(traffic.segment));
                    if (place != scrape->places.end()) rates.push_back({place->second, traffic.rates});
                }
            }
            control_.post([this, scrape, figures = std::move(figures), rates = std::move(rates)]() mutable {
                if (scrape->answered) return;
                scrape->snapshot.answered.push_back(std::move(figures));
                for (const Scrape::Rates& each : rates) {
                    StreamFigures& stream = scrape->snapshot.named[each.stream];
                    for (std::size_t i = 0; i < stream.events.size(); ++i) {
                        stream.events[i] += each.rates.events[i];
                        stream.bytes[i] += each.rates.bytes[i];
                    }
                }
                if (--scrape->to_come == 0) answer(*scrape);
            });
        });
    }
}

void Metrics::answer(Scrape& scrape) {
    if (std::exchange(scrape.answered, true)) return;
    control_.cancel(scrape.timer);
    if (common_.get() == &scrape) common_.reset();
    MetricsSnapshot& snapshot = scrape.snapshot;
    snapshot.containers = sources_.containers.size();
    std::ranges::sort(snapshot.answered, {}, &ContainerFigures::id);
    sources_.fill(snapshot);
    snapshot.http = http_.read();
    rest::HttpResponse response;
    response.content_type = metrics::kContentType;
    response.body = to_text(snapshot);
    for (rest::Respond& respond : scrape.waiting) respond(response);
    scrape.waiting.clear();
}

}  // namespace millrace::node
