#include "cli/transactions_command.h"

#include <chrono>
#include <cstdio>
#include <ctime>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/uuid.h"
#include "cli/stream_argument.h"

namespace millrace::cli {

namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPatience{30'000};
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

std::string time_text(std::int64_t ms) {
    std::tm utc{};
    std::time_t seconds = ms / 1000;
    if (gmtime_r(&seconds, &utc) == nullptr) return fmt::format("{} ms", ms);
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

// The fields are this program's own; anything that is not as they are made throws, and is caught once.
std::string line_of(const json::object& transaction, const std::string& id) {
    auto number = [&](const char* name) { return transaction.at(name).to_number<std::int64_t>(); };
    std::string line = fmt::format("{}  {:<10}  begun {}", id, json::value_to<std::string>(transaction.at("state")),
                                   time_text(number("begunAt")));
    if (transaction.contains("preparedAt"))
        line += fmt::format(", prepared {}, {} bytes", time_text(number("preparedAt")), number("preparedBytes"));
    if (transaction.contains("leaseLeft"))
        line += fmt::format(", {} s left of its lease", (number("leaseLeft") + 999) / 1000);
    return line + "\n";
}

std::string refusal(std::string_view body) {
    boost::system::error_code bad;
    json::value parsed = json::parse(json::string_view(body.data(), body.size()), bad);
    const json::object* object = bad ? nullptr : parsed.if_object();
    const json::value* error = object == nullptr ? nullptr : object->if_contains("error");
    if (error == nullptr || !error->is_string()) return std::string(body);
    return json::value_to<std::string>(*error);
}

CommandOutcome refused(int status, std::string_view message) {
    return {status, {}, fmt::format("millrace: {}\n", message)};
}

CommandOutcome list(HttpClient& client, const std::string& url, const TransactionsRequest& request) {
    CommandOutcome outcome;
    std::string after;
    while (true) {
        auto answer = client.get(url + after);
        if (!answer) return refused(kExitFailed, answer.error().message());
        if (answer->status == 404) return refused(kExitFailed, fmt::format("no stream {}", request.stream));
        if (answer->status != 200)
            return refused(kExitFailed, fmt::format("{} answers {}", request.rest, refusal(answer->body)));
        auto page = transactions_page(answer->body);
        if (!page) return refused(kExitFailed, page.error().message());
        if (page->ids.empty()) return outcome;
        outcome.output += page->text;
        after = "?after=" + page->ids.back();
    }
}

// What could be ended is, whatever becomes of the others.
CommandOutcome end(HttpClient& client, const std::string& url, const TransactionsRequest& request) {
    bool commits = request.action == TransactionsAction::kCommit;
    CommandOutcome outcome;
    for (const std::string& id : request.ids) {
        std::string of_one = fmt::format("{}/{}", url, id);
        auto answer = commits ? client.post(of_one + "/commit") : client.remove(of_one);
        bool done = answer && answer->status == 204;
        if (done) {
            outcome.output += fmt::format("{} {}\n", id, commits ? "committed" : "aborted");
            continue;
        }
        outcome.status = kExitFailed;
        outcome.trouble +=
            fmt::format("millrace: {}: {}\n", id, answer ? refusal(answer->body) : answer.error().message());
    }
    return outcome;
}

}  // namespace

Result<TransactionsPage> transactions_page(std::string_view body) {
    try {
        TransactionsPage page;
        json::value answer = json::parse(json::string_view(body.data(), body.size()));
        for (const json::value& transaction : answer.at("transactions").as_array()) {
            auto id = json::value_to<std::string>(transaction.at("transactionId"));
            if (!parse_uuid(id)) return fail(Errc::kCorrupt, "the server's answer has an id that is no UUID");
            page.text += line_of(transaction.as_object(), id);
            page.ids.push_back(std::move(id));
        }
        return page;
    } catch (const std::exception& e) {
        return fail(Errc::kCorrupt, fmt::format("the server's answer is not what this program expects: {}", e.what()));
    }
}

CommandOutcome run_transactions(HttpClient& client, const TransactionsRequest& request) {
    auto stream = stream_url(request.rest, request.stream);
    if (!stream) return refused(kExitUsage, stream.error().message());
    for (const std::string& id : request.ids) {
        if (!parse_uuid(id)) return refused(kExitUsage, fmt::format("\"{}\" is not a transaction's id", id));
    }
    std::string url = *stream + "/transactions";
    return request.action == TransactionsAction::kList ? list(client, url, request) : end(client, url, request);
}

int transactions_command(const TransactionsRequest& request) {
    CommandOutcome outcome = run_transactions(*make_http_client(kPatience), request);
    fmt::print("{}", outcome.output);
    fmt::print(stderr, "{}", outcome.trouble);
    return outcome.status;
}

}  // namespace millrace::cli
