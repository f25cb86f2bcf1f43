#include "lts/s3/credentials.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace millrace::lts {
namespace {

using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public testing::Test {
  protected:
    CredentialsTest() {
        std::string pattern = testing::TempDir() + "millrace-keys-XXXXXX";
        directory = ::mkdtemp(pattern.data());
    }
    ~CredentialsTest() override { std::filesystem::remove_all(directory); }
    std::string write(const std::string& name, const std::string& text) const {
        std::string path = directory + "/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path) << text;
        return path;
    }
    Result<Credentials> find() const {
        return find_credentials(options, [this](std::string_view name) -> std::optional<std::string> {
            auto found = environment.find(std::string(name));
            if (found == environment.end()) return std::nullopt;
            return found->second;
        });
    }

    std::string directory;
    S3Options options;
    std::map<std::string, std::string> environment;
};

TEST_F(CredentialsTest, ConfigurationIsFirst) {
    options.access_key = "a";
    options.secret_key = Secret("s");
    environment = {{"AWS_ACCESS_KEY_ID", "x"}, {"AWS_SECRET_ACCESS_KEY", "y"}};
    EXPECT_EQ(find()->access_key, "a");
    EXPECT_EQ(find()->secret_key.reveal(), "s");
}

TEST_F(CredentialsTest, NamedFileComesBeforeTheEnvironment) {
    options.credentials_file = write("keys",
                                     "# comment\n[default]\naws_access_key_id=one\naws_secret_access_key = two\r\n\n"
                                     "[ other ]\n  aws_access_key_id = three\naws_secret_access_key=f=our\n"
                                     "aws_session_token=five\nregion = nowhere\n");
    environment = {{"AWS_ACCESS_KEY_ID", "x"}, {"AWS_SECRET_ACCESS_KEY", "y"}};
    EXPECT_EQ(find()->access_key, "one");
    EXPECT_EQ(find()->secret_key.reveal(), "two");
    EXPECT_TRUE(find()->session_token.empty());
    environment["AWS_PROFILE"] = "other";
    EXPECT_EQ(find()->access_key, "three");
    EXPECT_EQ(find()->secret_key.reveal(), "f=our");
    EXPECT_EQ(find()->session_token.reveal(), "five");
    options.profile = "missing";
    EXPECT_THAT(find().error().to_string(), HasSubstr("[missing]"));
}

TEST_F(CredentialsTest, EnvironmentThenSharedFileThenHome) {
    environment = {{"HOME", directory}};
    EXPECT_THAT(find().error().to_string(), HasSubstr("/.aws/credentials"));
    write(".aws/credentials", "[default]\naws_access_key_id=home\naws_secret_access_key=s\n");
    EXPECT_EQ(find()->access_key, "home");
    environment["AWS_SHARED_CREDENTIALS_FILE"] =
        write("shared", "[default]\naws_access_key_id=shared\naws_secret_access_key=s\n");
    EXPECT_EQ(find()->access_key, "shared");
    environment["AWS_ACCESS_KEY_ID"] = "environment";
    environment["AWS_SECRET_ACCESS_KEY"] = "s";
    environment["AWS_SESSION_TOKEN"] = "t";
    EXPECT_EQ(find()->access_key, "environment");
    EXPECT_EQ(find()->session_token.reveal(), "t");
}

TEST_F(CredentialsTest, ErrorsShowNoKey) {
    options.access_key = "VISIBLE\nINJECTED: x";
    options.secret_key = Secret("hidden\nhidden");
    EXPECT_EQ(find().error(), Errc::kInvalidArgument);
    EXPECT_THAT(find().error().to_string(), Not(HasSubstr("hidden")));
    options = {};
    options.credentials_file = write("keys", "[default]\naws_secret_access_key=hidden\n");
    EXPECT_EQ(find().error(), Errc::kInvalidArgument);
    EXPECT_THAT(find().error().to_string(), Not(HasSubstr("hidden")));
    EXPECT_THAT(find().error().to_string(), HasSubstr(directory));
}

}  // namespace
}  // namespace millrace::lts
