#include "api/metrics/http_meter.h"

namespace millrace::metrics {
namespace {

std::string_view name_of(rest::Method method) {
    switch (method) {
        case rest::Method::kGet:
            return "GET";  // HEAD is one, too
        case rest::Method::kPost:
            return "POST";
        case rest::Method::kPut:
            return "PUT";
        case rest::Method::kDelete:
            return "DELETE";
        case rest::Method::kOther:
            break;
    }
    return "other";
}

}  // namespace

rest::Respond HttpMeter::begin(rest::Method method, rest::Respond respond) {
    return [this, method, begun = clock_.now(), respond = std::move(respond)](rest::HttpResponse answer) mutable {
        ++requests_[{name_of(method), answer.status}];
        latency_.record(clock_.now() - begun);
        respond(std::move(answer));
    };
}

}  // namespace millrace::metrics
