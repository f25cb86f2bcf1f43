// Any bytes as requests to the REST API, over a controller on segments in memory: every one is answered, with no
// failure of the server's own, in JSON that can be read, and what is stored stays whole. Input: requests that each end
// with a byte 0x1e; of each a letter for the method (G, O for POST, U for PUT, D, any other), the target, a line feed,
// the body.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <boost/json/parse.hpp>

#include "api/rest/routes.h"
#include "controller/controller_harness.h"

using namespace millrace;
using namespace millrace::rest;

namespace {

constexpr int kRequests = 20;

Method method_of(char letter) {
    switch (letter) {
        case 'G':
            return Method::kGet;
        case 'O':
            return Method::kPost;
        case 'U':
            return Method::kPut;
        case 'D':
            return Method::kDelete;
        default:
            return Method::kOther;
    }
}

struct Served {
    Served() {
        add_all_routes(router, *t.controller, [] { return Health(); });
        (void)t.create_scope("s");
        (void)t.create({"s", "x"}, controller::fixed(2, {"w"}));
        auto group = controller::group_over({{"s", "x"}}, controller::ReaderGroupRetention::kManual);
        (void)t.create_group("s", "g", std::move(group));
        (void)t.begin({"s", "x"});
    }

    void serve(std::string_view text) {
        if (text.empty()) return;
        HttpRequest request;
        request.method = method_of(text.front());
        std::size_t end = std::min(text.find('\n'), text.size());
        if (!parse_target(text.substr(1, end - 1), request)) return;
        request.body = text.substr(std::min(end + 1, text.size()));
        std::optional<HttpResponse> answer;
        router.dispatch(std::move(request), [&answer](HttpResponse got) { answer = std::move(got); });
        t.executor->run_until_idle();
        if (!answer) t.executor->advance(std::chrono::minutes(10));
        if (!answer || answer->status < 200 || answer->status > 503) std::abort();
        // As Pravega answers it; any other 500 is a failure.
        if (answer->status == 500 && answer->body != R"({"error":"the stream is sealed"})") std::abort();
        if (answer->content_type != "application/json") return;
        boost::system::error_code error;
        boost::json::parse(answer->body, error);
        if (error) std::abort();
    }

    controller::Harness t;
    Router router;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    Served served;
    for (int i = 0; i < kRequests && !rest.empty(); ++i) {
        std::string_view one = rest.substr(0, rest.find('\x1e'));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        served.serve(one);
    }
    served.t.executor->advance(std::chrono::minutes(1));
    if (!served.t.garbage().empty()) std::abort();
    return 0;
}
