#include "cli/settings.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/option_table.h"
#include "cli/suggest.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using Variables = std::vector<std::pair<std::string, std::string>>;

class SettingsTest : public testing::Test {
  protected:
    SettingsTest() {
        std::string name = testing::TempDir() + "/settings-XXXXXX";
        directory_ = ::mkdtemp(name.data());
    }
    ~SettingsTest() override { std::filesystem::remove_all(directory_); }

    std::string file(const std::string& text) {
        std::string path = directory_ + "/millrace.toml";
        std::ofstream(path) << text;
        return path;
    }
    static std::string refusal(const Result<node::NodeOptions>& result) {
        return result ? "accepted" : result.error().message();
    }
    static std::vector<NamedValue> flags(std::initializer_list<std::pair<std::string, std::string>> given) {
        std::vector<NamedValue> values;
        for (const auto& [name, value] : given) values.push_back({name, value, "--" + name});
        return values;
    }

    std::string directory_;
};

TEST_F(SettingsTest, DefaultsAreTheDocumentedOnes) {
    auto options = assemble({}, "", {});
    ASSERT_TRUE(options) << refusal(options);
    EXPECT_EQ(options->controller_port, 9090);
    EXPECT_EQ(options->rest_port, 9091);
    EXPECT_EQ(options->store_port, 6000);
    EXPECT_EQ(options->listen, "127.0.0.1");
    EXPECT_EQ(options->advertise, "127.0.0.1");
    EXPECT_EQ(options->data_directory, std::filesystem::current_path().string() + "/millrace-data");
    EXPECT_FALSE(options->containers.has_value());
    EXPECT_GE(options->shards, 1u);
    // What the help text says is what an option without a value does.
    for (const OptionSpec& option : standalone_options()) {
        bool is_s3_text = option.name.starts_with("s3-") && option.name != "s3-style" && option.name != "s3-region";
        if (option.name == "advertise" || option.name == "shards" || option.name == "storage-dir" || is_s3_text)
            continue;  // derived, or described
        auto told = assemble(flags({{std::string(option.name), std::string(option.fallback)}}), "", {});
        ASSERT_TRUE(told) << option.name << ": " << refusal(told);
        EXPECT_EQ(told->data_directory, options->data_directory) << option.name;
        EXPECT_EQ(told->listen, options->listen) << option.name;
        EXPECT_EQ(told->controller_port, options->controller_port) << option.name;
        EXPECT_EQ(told->rest_port, options->rest_port) << option.name;
        EXPECT_EQ(told->store_port, options->store_port) << option.name;
        EXPECT_EQ(told->log_level, options->log_level) << option.name;
        EXPECT_EQ(told->log_json, options->log_json) << option.name;
        EXPECT_EQ(told->containers.value_or(node::kDefaultContainers), node::kDefaultContainers) << option.name;
        EXPECT_EQ(told->cache_bytes, options->cache_bytes) << option.name;
        EXPECT_EQ(told->journal.limit_bytes, options->journal.limit_bytes) << option.name;
        EXPECT_EQ(told->journal.file_bytes, options->journal.file_bytes) << option.name;
        EXPECT_EQ(told->io, options->io) << option.name;
        EXPECT_EQ(told->transactions.keep_prepared, options->transactions.keep_prepared) << option.name;
        EXPECT_EQ(told->transactions.kept_limit, options->transactions.kept_limit) << option.name;
        EXPECT_EQ(told->transactions.kept_bytes_limit, options->transactions.kept_bytes_limit) << option.name;
        EXPECT_EQ(told->transactions.lease_max, options->transactions.lease_max) << option.name;
        EXPECT_EQ(told->storage.kind, options->storage.kind) << option.name;
        EXPECT_EQ(told->storage_cache_bytes, options->storage_cache_bytes) << option.name;
        EXPECT_EQ(told->history_rate_bytes, options->history_rate_bytes) << option.name;
        EXPECT_EQ(told->storage.s3.region, options->storage.s3.region) << option.name;
        EXPECT_EQ(told->storage.s3.path_style, options->storage.s3.path_style) << option.name;
        EXPECT_EQ(told->container.tiering.flush_bytes, options->container.tiering.flush_bytes) << option.name;
        EXPECT_EQ(told->container.tiering.flush_after, options->container.tiering.flush_after) << option.name;
    }
    EXPECT_EQ(options->storage.directory, options->data_directory + "/storage");
}

TEST_F(SettingsTest, NearerWins) {
    std::string path = file("store-port = 1001\nrest-port = \"1002\"\ncontroller-port = 1003\ncache = \"1GiB\"\n");
    Variables variables{
        {"MILLRACE_REST_PORT", "2002"}, {"MILLRACE_CONTROLLER_PORT", "2003"}, {"PATH", "x"}, {"MILLRACE_CACHE", ""}};
    auto options = assemble(flags({{"controller-port", "3003"}}), path, variables);
    ASSERT_TRUE(options) << refusal(options);
    EXPECT_EQ(options->store_port, 1001);
    EXPECT_EQ(options->rest_port, 2002);
    EXPECT_EQ(options->controller_port, 3003);
    EXPECT_EQ(options->cache_bytes, kGiB);
}

TEST_F(SettingsTest, EveryOptionIsReadFromEverywhere) {
    for (const OptionSpec& option : standalone_options()) {
        bool is_s3_text = option.name.starts_with("s3-") && option.name != "s3-style";
        std::string value = option.name == "advertise" || is_s3_text ? "host"
                            : option.name == "shards"                ? "2"
                                                                     : std::string(option.fallback);
        auto from_file = assemble({}, file(std::string(option.name) + " = \"" + value + "\"\n"), {});
        EXPECT_TRUE(from_file) << refusal(from_file);
        auto from_environment = assemble({}, "", {{environment_name(option.name), value}});
        EXPECT_TRUE(from_environment) << refusal(from_environment);
        auto wrong = assemble({}, "", {{environment_name(option.name), "\x01 nonsense/"}});
        // Any text may be a path; and a secret is not shown, not even to say what is wrong with it.
        constexpr std::string_view kAnything[] = {"data-dir", "storage-dir", "s3-credentials-file", "s3-ca-file",
                                                  "s3-secret-key"};
        if (std::ranges::find(kAnything, option.name) != std::end(kAnything)) continue;
        EXPECT_THAT(refusal(wrong), HasSubstr("for " + environment_name(option.name) + ": it must be ")) << option.name;
    }
}

TEST_F(SettingsTest, FileFromTheEnvironment) {
    auto options = assemble({}, "", {{"MILLRACE_CONFIG", file("store-port = 1\n")}});
    ASSERT_TRUE(options) << refusal(options);
    EXPECT_EQ(options->store_port, 1);
    EXPECT_THAT(refusal(assemble({}, directory_ + "/none.toml", {})), HasSubstr("none.toml: No such file"));
    EXPECT_THAT(refusal(assemble({}, directory_, {})), HasSubstr("directory"));
}

TEST_F(SettingsTest, MistypedNamesAreRefusedWithASuggestion) {
    std::string path = file("\nstor-port = 1\n");
    EXPECT_EQ(refusal(assemble({}, path, {})),
              "unknown key \"stor-port\" in " + path + "; did you mean \"store-port\"?");
    EXPECT_THAT(refusal(assemble({}, file("colour = 1\n"), {})), HasSubstr("unknown key \"colour\" in"));
    EXPECT_THAT(refusal(assemble({}, file("[server]\nstore-port = 1\n"), {})), HasSubstr("unknown key \"server\""));
    EXPECT_EQ(refusal(assemble({}, "", {{"MILLRACE_STOR_PORT", "1"}})),
              "unknown environment variable MILLRACE_STOR_PORT; did you mean MILLRACE_STORE_PORT?");
    EXPECT_THAT(refusal(assemble({}, "", {{"MILLRACE_CONFIGG", "1"}})), HasSubstr("MILLRACE_CONFIG?"));
    EXPECT_THAT(refusal(assemble({}, "", {{"MILLRACE_store_port", "1"}})), HasSubstr("MILLRACE_STORE_PORT?"));
}

TEST_F(SettingsTest, OtherPeoplesVariablesAreLeftAlone) {
    Variables variables{{"MILLRACE_SERVICE_HOST", "10.0.0.1"},
                        {"MILLRACE_SERVICE_PORT", "9090"},
                        {"MILLRACE_SERVICE_PORT_REST", "9091"},
                        {"MILLRACE_CONTROLLER_PORT", "tcp://10.0.0.1:9090"},
                        {"MILLRACE_PORT", "tcp://10.0.0.1:9090"},
                        {"MILLRACE_PORT_9090_TCP", "tcp://10.0.0.1:9090"},
                        {"MILLRACE_PORT_9090_TCP_ADDR", "10.0.0.1"},
                        {"MILLRACE_STORE_PORT_6000_TCP_PORT", "6000"},
                        {"MILLRACE_BIN", "somewhere"},
                        {"MILLRACE", "1"}};
    auto options = assemble({}, "", variables);
    ASSERT_TRUE(options) << refusal(options);
    EXPECT_EQ(options->controller_port, 9090);
    EXPECT_THAT(read_environment(variables)->unknown, testing::ElementsAre("MILLRACE_BIN"));
}

TEST_F(SettingsTest, BadValuesNameTheirPlace) {
    std::string path = file("\nrest-port = 1\nstore-port = 70000\n");
    EXPECT_EQ(refusal(assemble(flags({{"store-port", "1"}}), path, {})),
              "bad value \"70000\" for store-port in " + path +
                  ", line 3: it must be a port number, 1 to 65535, or 0 for any free port");
    EXPECT_THAT(refusal(assemble({}, file("store-port = 1.5\n"), {})), HasSubstr("text or a whole number"));
    EXPECT_THAT(refusal(assemble({}, file("store-port = \n"), {})), HasSubstr("line 1"));
    EXPECT_THAT(refusal(assemble(flags({{"log-level", "loud"}}), "", {})), HasSubstr("\"loud\" for --log-level"));
    for (auto [name, value] : std::initializer_list<std::pair<std::string, std::string>>{{"store-port", "-1"},
                                                                                         {"store-port", "65536"},
                                                                                         {"store-port", "1x"},
                                                                                         {"store-port", ""},
                                                                                         {"store-port", " 1"},
                                                                                         {"cache", "1 parsec"},
                                                                                         {"cache", "-1"},
                                                                                         {"shards", "0"},
                                                                                         {"shards", "257"},
                                                                                         {"containers", "0"},
                                                                                         {"containers", "1025"},
                                                                                         {"io", "fast"},
                                                                                         {"log-format", "xml"},
                                                                                         {"listen", "db1.example.org"},
                                                                                         {"listen", "1.2.3"},
                                                                                         {"advertise", "a b"},
                                                                                         {"advertise", "http://a"},
                                                                                         {"data-dir", ""}}) {
        EXPECT_THAT(refusal(assemble(flags({{name, value}}), "", {})), HasSubstr("for --" + name + ": it must be"))
            << value;
    }
}

TEST_F(SettingsTest, ContradictionsAreRefused) {
    EXPECT_EQ(refusal(assemble(flags({{"store-port", "9090"}}), "", {})),
              "controller-port and store-port are both 9090; each needs a port of its own");
    EXPECT_THAT(refusal(assemble(flags({{"listen", "0.0.0.0"}}), "", {})), HasSubstr("set advertise"));
    auto open = assemble(flags({{"listen", "::"}, {"advertise", "db1"}}), "", {});
    ASSERT_TRUE(open) << refusal(open);
    EXPECT_EQ(open->advertise, "db1");
    EXPECT_EQ(open->store.address, "::");
    EXPECT_THAT(refusal(assemble(flags({{"journal-limit", "100MiB"}}), "", {})), HasSubstr("at least four files"));
    auto any = assemble(flags({{"store-port", "0"}, {"rest-port", "0"}, {"controller-port", "0"}}), "", {});
    EXPECT_TRUE(any) << refusal(any);
}

TEST(Suggest, OnlyWhatIsNear) {
    constexpr std::string_view kWords[] = {"store-port", "rest-port", "io"};
    EXPECT_EQ(suggest("stor-port", kWords), "store-port");
    EXPECT_EQ(suggest("stroe-port", kWords), "store-port");
    EXPECT_EQ(suggest("rest_port", kWords), "rest-port");
    EXPECT_EQ(suggest("oi", kWords), "io");
    EXPECT_EQ(suggest("bin", kWords), "");
    EXPECT_EQ(suggest(std::string(1000, 'x'), kWords), "");
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("ab", "ba"), 1u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Shards, FollowTheCores) {
    EXPECT_EQ(node::default_shards(0), 1u);
    EXPECT_EQ(node::default_shards(2), 1u);
    EXPECT_EQ(node::default_shards(4), 2u);
    EXPECT_EQ(node::default_shards(64), 8u);
}

}  // namespace
}  // namespace millrace::cli
