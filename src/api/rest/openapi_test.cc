// The document that is served knows the paths that are served, all of them and no others; and it holds together.
#include <set>
#include <string>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/rest/routes.h"
#include "controller/controller_harness.h"

namespace millrace::rest {
namespace {

namespace json = boost::json;

std::string lower(std::string_view text) {
    std::string out;
    for (char c : text) out.push_back(static_cast<char>(c | 0x20));
    return out;
}

struct Served {
    Served() {
        add_all_routes(router, *t.controller, [] { return Health(); });
    }
    json::object document() {
        HttpRequest request;
        EXPECT_TRUE(parse_target("/v1/openapi.json", request));
        HttpResponse answer;
        router.dispatch(std::move(request), [&answer](HttpResponse got) { answer = std::move(got); });
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.content_type, "application/json");
        return json::parse(answer.body).get_object();
    }
    controller::Harness t;
    Router router;
};

TEST(OpenApi, HasEveryPathAndNoOther) {
    Served served;
    std::set<std::string> routes;
    for (const auto& [method, pattern] : served.router.known()) routes.insert(lower(name_of(method)) + " " + pattern);
    std::set<std::string> documented;
    json::object document = served.document();
    for (const auto& [path, item] : document.at("paths").get_object()) {
        for (const auto& [method, operation] : item.get_object()) {
            if (method != "parameters") documented.insert(std::string(method) + " " + std::string(path));
        }
    }
    EXPECT_EQ(documented, routes);
}

void expect_references(const json::value& value, const json::object& document) {
    if (value.is_array()) {
        for (const json::value& item : value.get_array()) expect_references(item, document);
    }
    if (!value.is_object()) return;
    for (const auto& [key, item] : value.get_object()) {
        expect_references(item, document);
        if (key != "$ref") continue;
        std::string pointer(item.get_string().c_str());
        ASSERT_EQ(pointer.substr(0, 2), "#/");
        json::error_code error;
        EXPECT_NE(json::value(document).find_pointer(pointer.substr(1), error), nullptr) << pointer;
    }
}

TEST(OpenApi, WhatItRefersToIsThere) {
    Served served;
    json::object document = served.document();
    EXPECT_EQ(document.at("openapi"), "3.0.3");
    expect_references(json::value(document), document);
}

// A parameter of a path is declared, and each operation has a name of its own.
TEST(OpenApi, PathsDeclareTheirParameters) {
    Served served;
    std::set<std::string> operations;
    json::object document = served.document();
    for (const auto& [path, item] : document.at("paths").get_object()) {
        std::set<std::string> declared;
        if (const json::value* parameters = item.get_object().if_contains("parameters")) {
            for (const json::value& parameter : parameters->get_array())
                declared.insert(parameter.at("name").get_string().c_str());
        }
        std::set<std::string> used;
        std::string text(path);
        for (std::size_t at = 0; (at = text.find('{', at)) != std::string::npos; ++at)
            used.insert(text.substr(at + 1, text.find('}', at) - at - 1));
        EXPECT_EQ(declared, used) << text;
        for (const auto& [method, operation] : item.get_object()) {
            if (method == "parameters") continue;
            std::string id(operation.at("operationId").get_string().c_str());
            EXPECT_TRUE(operations.insert(id).second) << id;
        }
    }
}

}  // namespace
}  // namespace millrace::rest
