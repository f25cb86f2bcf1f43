#include <charconv>
#include <memory>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/paging.h"
#include "api/rest/routes.h"
#include "api/rest/stream_json.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::Controller;
using controller::CreateStreamStatus;
using controller::DeleteStreamStatus;
using controller::Epoch;
using controller::StreamConfig;
using controller::StreamName;
using controller::UpdateStreamStatus;

namespace {

constexpr std::size_t kEpochsAtATime = 1000;
constexpr std::size_t kConfigsAtATime = 64;
constexpr char kInternalPrefix = '_';

StreamName name_in(const HttpRequest& request) { return StreamName{request.captures[0], request.captures[1]}; }

HttpResponse property_response(std::uint16_t status, const StreamName& name, const StreamConfig& config) {
    return HttpResponse::json(status, json::serialize(stream_property(name, config)));
}

void create_stream(Controller& controller, const HttpRequest& request, Respond respond) {
    auto body = parse_object(request.body);
    if (!body) return respond(answer_for(body.error()));
    auto stream = text_field(*body, "streamName");
    if (!stream) return respond(answer_for(stream.error()));
    if (!is_user_name(*stream, kStreamNameMax)) return respond(HttpResponse::error(400, "invalid stream name"));
    auto config = parse_stream_config(*body);
    if (!config) return respond(answer_for(config.error()));
    StreamName name{request.captures[0], *stream};
    auto done = [name, config = *config, respond = std::move(respond)](Result<CreateStreamStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        switch (*status) {
            case CreateStreamStatus::kSuccess:
                return respond(property_response(201, name, config));
            case CreateStreamStatus::kStreamExists:
                return respond(HttpResponse::error(409, "the stream exists"));
            case CreateStreamStatus::kScopeNotFound:
                return respond(HttpResponse::error(404, "no such scope"));
            case CreateStreamStatus::kInvalidStreamName:
                return respond(HttpResponse::error(400, "invalid stream name"));
            case CreateStreamStatus::kFailure:
                return respond(HttpResponse::error(500, "the stream could not be created"));
        }
    };
    controller.create_stream(std::move(name), std::move(*config), std::move(done));
}

void get_stream(Controller& controller, const HttpRequest& request, Respond respond) {
    StreamName name = name_in(request);
    auto done = [name, respond = std::move(respond)](Result<StreamConfig> config) mutable {
        if (!config) return respond(answer_for(config.error()));
        respond(property_response(200, name, *config));
    };
    controller.stream_config(std::move(name), std::move(done));
}

HttpResponse refused_update(UpdateStreamStatus status) {
    switch (status) {
        case UpdateStreamStatus::kStreamNotFound:
            return HttpResponse::error(404, "no such stream");
        case UpdateStreamStatus::kScopeNotFound:
            return HttpResponse::error(404, "no such scope");
        case UpdateStreamStatus::kStreamSealed:
            return HttpResponse::error(500, "the stream is sealed");
        case UpdateStreamStatus::kSuccess:
        case UpdateStreamStatus::kFailure:
            break;
    }
    return HttpResponse::error(500, "the stream could not be changed");
}

void update_stream(Controller& controller, const HttpRequest& request, Respond respond) {
    auto body = parse_object(request.body);
    if (!body) return respond(answer_for(body.error()));
    auto config = parse_stream_config(*body);
    if (!config) return respond(answer_for(config.error()));
    StreamName name = name_in(request);
    auto done = [name, config = *config, respond = std::move(respond)](Result<UpdateStreamStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        if (*status != UpdateStreamStatus::kSuccess) return respond(refused_update(*status));
        respond(property_response(200, name, config));
    };
    controller.update_stream(std::move(name), std::move(*config), std::move(done));
}

void update_state(Controller& controller, const HttpRequest& request, Respond respond) {
    auto body = parse_object(request.body);
    if (!body) return respond(answer_for(body.error()));
    auto state = text_field(*body, "streamState");
    if (!state) return respond(answer_for(state.error()));
    if (*state != "SEALED") return respond(HttpResponse::error(400, "streamState can only be set to SEALED"));
    auto done = [respond = std::move(respond)](Result<UpdateStreamStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        if (*status != UpdateStreamStatus::kSuccess) return respond(refused_update(*status));
        respond(HttpResponse::json(200, R"({"streamState":"SEALED"})"));
    };
    controller.seal_stream(name_in(request), std::move(done));
}

void delete_stream(Controller& controller, const HttpRequest& request, Respond respond) {
    auto done = [respond = std::move(respond)](Result<DeleteStreamStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        switch (*status) {
            case DeleteStreamStatus::kSuccess:
                return respond(HttpResponse::empty(204));
            case DeleteStreamStatus::kStreamNotFound:
                return respond(HttpResponse::error(404, "no such stream"));
            case DeleteStreamStatus::kStreamNotSealed:
                return respond(HttpResponse::error(412, "the stream is not sealed"));
            case DeleteStreamStatus::kFailure:
                return respond(HttpResponse::error(500, "the stream could not be deleted"));
        }
    };
    controller.delete_stream(name_in(request), std::move(done));
}

// Turns names into stream properties, a few look-ups at a time. Streams that vanish meanwhile are left out.
struct PropertyList : std::enable_shared_from_this<PropertyList> {
    PropertyList(Controller& where, std::string scope_name, std::vector<std::string> names, Respond answer)
        : controller(where),
          scope(std::move(scope_name)),
          streams(std::move(names)),
          found(streams.size()),
          respond(std::move(answer)) {}

    void run() {
        while (next < streams.size() && pending < kConfigsAtATime) {
            std::size_t index = next++;
            ++pending;
            auto done = [self = shared_from_this(), index](Result<StreamConfig> config) {
                self->arrived(index, std::move(config));
            };
            controller.stream_config(StreamName{scope, streams[index]}, std::move(done));
        }
        if (pending == 0 && respond) finish();
    }
    void arrived(std::size_t index, Result<StreamConfig> config) {
        --pending;
        if (config) {
            found[index] = std::move(*config);
        } else if (config.error() != Errc::kNotFound && !failure) {
            failure = config.error();
            next = streams.size();
        }
        run();
    }
    void finish() {
        Respond answer = std::exchange(respond, nullptr);
        if (failure) return answer(answer_for(*failure));
        json::array list;
        for (std::size_t i = 0; i < streams.size(); ++i) {
            if (found[i]) list.emplace_back(stream_property(StreamName{scope, streams[i]}, *found[i]));
        }
        json::object object;
        object["streams"] = std::move(list);
        answer(HttpResponse::json(200, json::serialize(object)));
    }

    Controller& controller;
    const std::string scope;
    const std::vector<std::string> streams;
    std::vector<std::optional<StreamConfig>> found;
    Respond respond;
    std::size_t next = 0;
    std::size_t pending = 0;
    std::optional<Error> failure;
};

void list_streams(Controller& controller, const HttpRequest& request, Respond respond) {
    const std::string& scope = request.captures[0];
    std::string_view filter = request.parameter("filter_type").value_or("");
    auto value = request.parameter("filter_value");
    bool by_tag = filter == "tag" && value;
    bool internal = filter == "showInternalStreams";
    FetchPage fetch;
    if (by_tag) {
        fetch = [&controller, scope, tag = std::string(*value)](std::string token, PageDone done) {
            controller.list_streams_by_tag(scope, tag, std::move(token), std::move(done));
        };
    } else {
        fetch = [&controller, scope](std::string token, PageDone done) {
            controller.list_streams(scope, std::move(token), std::move(done));
        };
    }
    auto done = [&controller, scope, by_tag, internal,
                 respond = std::move(respond)](Result<std::optional<std::vector<std::string>>> streams) mutable {
        if (!streams) return respond(answer_for(streams.error()));
        if (!*streams) return respond(HttpResponse::error(404, "no such scope"));
        auto unwanted = [&](const std::string& stream) { return stream.starts_with(kInternalPrefix) != internal; };
        if (!by_tag) std::erase_if(**streams, unwanted);
        std::make_shared<PropertyList>(controller, scope, std::move(**streams), std::move(respond))->run();
    };
    collect_pages(std::move(fetch), std::move(done));
}

struct EpochCollection : std::enable_shared_from_this<EpochCollection> {
    EpochCollection(Controller& where, StreamName stream, Respond answer)
        : controller(where), name(std::move(stream)), respond(std::move(answer)) {}

    void next() {
        std::int32_t first = epochs.empty() ? 0 : epochs.back().epoch + 1;
        auto done = [self = shared_from_this()](Result<std::vector<Epoch>> more) { self->arrived(std::move(more)); };
        controller.list_epochs(name, first, kEpochsAtATime, std::move(done));
    }
    void arrived(Result<std::vector<Epoch>> more) {
        if (!more) return respond(answer_for(more.error()));
        epochs.insert(epochs.end(), more->begin(), more->end());
        if (more->size() == kEpochsAtATime) return next();
        respond(HttpResponse::json(200, json::serialize(scaling_events(epochs, from_ms, to_ms))));
    }

    Controller& controller;
    const StreamName name;
    Respond respond;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
    std::vector<Epoch> epochs;
};

std::optional<std::int64_t> time_parameter(const HttpRequest& request, std::string_view name) {
    std::string_view text = request.parameter(name).value_or("");
    std::int64_t value = 0;
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

void list_scaling_events(Controller& controller, const HttpRequest& request, Respond respond) {
    auto from = time_parameter(request, "from");
    auto to = time_parameter(request, "to");
    if (!from || !to || *from > *to)
        return respond(HttpResponse::error(400, "from and to must be given, in milliseconds, from <= to"));
    auto collection = std::make_shared<EpochCollection>(controller, name_in(request), std::move(respond));
    collection->from_ms = *from;
    collection->to_ms = *to;
    collection->next();
}

}  // namespace

void add_stream_routes(Router& router, Controller& controller) {
    auto add = [&](Method method, std::string_view path, Serve serve) {
        add_route(router, method, path, controller, serve);
    };
    add(Method::kGet, "/v1/scopes/{scope}/streams", list_streams);
    add(Method::kPost, "/v1/scopes/{scope}/streams", create_stream);
    add(Method::kGet, "/v1/scopes/{scope}/streams/{stream}", get_stream);
    add(Method::kPut, "/v1/scopes/{scope}/streams/{stream}", update_stream);
    add(Method::kDelete, "/v1/scopes/{scope}/streams/{stream}", delete_stream);
    add(Method::kPut, "/v1/scopes/{scope}/streams/{stream}/state", update_state);
    add(Method::kGet, "/v1/scopes/{scope}/streams/{stream}/scaling-events", list_scaling_events);
}

}  // namespace millrace::rest
