// The published examples: S3's "Signature Calculations for the Authorization Header", and the general test suite of
// Signature Version 4. The keys are the documentation's own.
#include "lts/s3/sigv4.h"

#include <gtest/gtest.h>

namespace millrace::lts::sigv4 {
namespace {

constexpr std::string_view kAccessKey = "AKIAIOSFODNN7EXAMPLE";
constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const Scope kScope{"20130524T000000Z", "us-east-1", "s3"};

std::string signature_of(const Request& request) {
    std::string value = authorization(request, kScope, kAccessKey, kSecret);
    return value.substr(value.rfind('=') + 1);
}

Request example(std::string method, std::string path, Fields query, Fields more, std::string_view hash) {
    Request request{std::move(method), std::move(path), std::move(query), std::move(more), std::string(hash)};
    request.headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
    request.headers.emplace_back("x-amz-date", "20130524T000000Z");
    request.headers.emplace_back("x-amz-content-sha256", hash);
    return request;
}

TEST(SigV4, GetObject) {
    Request request = example("GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, kEmptyHash);
    EXPECT_EQ(canonical_request(request),
              "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
              "x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
              "x-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n"
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(string_to_sign(request, kScope),
              "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
              "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    EXPECT_EQ(authorization(request, kScope, kAccessKey, kSecret),
              "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
              "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
              "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, PutObject) {
    std::string hash = sha256_hex(bytes::as_bytes("Welcome to Amazon S3."));
    EXPECT_EQ(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    Request request =
        example("PUT", uri_encode("/test$file.text", true), {},
                {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}, hash);
    EXPECT_EQ(request.path, "/test%24file.text");
    EXPECT_EQ(signature_of(request), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SigV4, QueryWithoutValue) {
    Request request = example("GET", "/", {{"lifecycle", ""}}, {}, kEmptyHash);
    EXPECT_EQ(signature_of(request), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(SigV4, QueryIsSorted) {
    Request request = example("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmptyHash);
    EXPECT_EQ(signature_of(request), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, SuiteVanilla) {
    Scope scope{"20150830T123600Z", "us-east-1", "service"};
    Request request{"GET",
                    "/",
                    {},
                    {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
                    std::string(kEmptyHash)};
    std::string value = authorization(request, scope, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    EXPECT_EQ(value.substr(value.rfind('=') + 1), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(SigV4, SuiteSigningKey) {
    Scope scope{"20150830T123600Z", "us-east-1", "iam"};
    std::array<std::uint8_t, 32> key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope);
    EXPECT_EQ(key[0], 0xc4);
    EXPECT_EQ(key[1], 0xaf);
    EXPECT_EQ(key[31], 0xb9);
}

TEST(SigV4, Encoding) {
    EXPECT_EQ(uri_encode("a b/c+~", false), "a%20b%2Fc%2B~");
    EXPECT_EQ(uri_encode("a b/c", true), "a%20b/c");
    EXPECT_EQ(uri_encode("\xc3\xbc", true), "%C3%BC");
    EXPECT_EQ(canonical_query({{"b", "1"}, {"a", "2/3"}, {"a", "1"}}), "a=1&a=2%2F3&b=1");
}

TEST(SigV4, HeadersAreFolded) {
    Request request = example("GET", "/", {}, {{"X-Amz-Meta-A", "  two   words  "}}, kEmptyHash);
    EXPECT_NE(canonical_request(request).find("x-amz-meta-a:two words\n"), std::string::npos);
}

TEST(SigV4, Timestamps) {
    EXPECT_EQ(timestamp(0), "19700101T000000Z");
    EXPECT_EQ(timestamp(1'369'353'600'000), "20130524T000000Z");
    EXPECT_EQ(timestamp(1'709'251'199'999), "20240229T235959Z");
}

TEST(SigV4, ChainsHashAsOneString) {
    bytes::Chain data;
    data.append(bytes::Slice::copy_of(bytes::as_bytes("Welcome to ")));
    data.append(bytes::Slice::copy_of(bytes::as_bytes("Amazon S3.")));
    EXPECT_EQ(sha256_hex(data), sha256_hex(bytes::as_bytes("Welcome to Amazon S3.")));
    EXPECT_EQ(sha256_hex(bytes::Chain()), kEmptyHash);
}

}  // namespace
}  // namespace millrace::lts::sigv4
