#include "api/metrics/http_meter.h"

namespace millrace::metrics {

rest::Respond HttpMeter::begin(rest::Method method, rest::Respond respond) {
    return [this, method, begun = clock_.now(), respond = std::move(respond)](rest::HttpResponse answer) mutable {
        std::string_view name = rest::name_of(method);
        ++requests_[{name.empty() ? "other" : name, answer.status}];
        latency_.record(clock_.now() - begun);
        respond(std::move(answer));
    };
}

}  // namespace millrace::metrics
