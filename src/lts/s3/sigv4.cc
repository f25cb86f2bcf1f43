#include "lts/s3/sigv4.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

namespace millrace::lts::sigv4 {
namespace {

using Digest = std::array<std::uint8_t, 32>;

std::string hex(bytes::ByteSpan data) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(data.size() * 2);
    for (std::uint8_t byte : data) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

Digest hmac(bytes::ByteSpan key, std::string_view text) {
    Digest digest{};
    unsigned size = 0;
    auto* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                      reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
    MILLRACE_ASSERT(done != nullptr && size == digest.size());
    return digest;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

// Without blanks at the ends, and one for each run of them within.
std::string folded(std::string_view text) {
    std::string result;
    for (char c : text) {
        bool blank = c == ' ' || c == '\t';
        if (blank && (result.empty() || result.back() == ' ')) continue;
        result += blank ? ' ' : c;
    }
    if (!result.empty() && result.back() == ' ') result.pop_back();
    return result;
}

Fields canonical_headers(const Fields& headers) {
    Fields result;
    for (const auto& [name, value] : headers) result.emplace_back(lower(name), folded(value));
    std::ranges::sort(result);
    return result;
}

std::string signed_names(const Fields& canonical) {
    std::string names;
    for (const auto& [name, value] : canonical) names += (names.empty() ? "" : ";") + name;
    return names;
}

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new()) {
        MILLRACE_ASSERT(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
    }
    ~Sha256() { EVP_MD_CTX_free(context_); }
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    void add(bytes::ByteSpan data) { MILLRACE_ASSERT(EVP_DigestUpdate(context_, data.data(), data.size()) == 1); }
    std::string hex_digest() {
        Digest digest{};
        unsigned size = 0;
        MILLRACE_ASSERT(EVP_DigestFinal_ex(context_, digest.data(), &size) == 1 && size == digest.size());
        return hex(digest);
    }

  private:
    EVP_MD_CTX* context_;
};

}  // namespace

std::string Scope::text() const {
    return fmt::format("{}/{}/{}/aws4_request", timestamp.substr(0, 8), region, service);
}

std::string timestamp(std::int64_t wall_ms) {
    using namespace std::chrono;
    sys_time<milliseconds> at{milliseconds(wall_ms)};
    sys_days day = floor<days>(at);
    year_month_day date(day);
    hh_mm_ss time(floor<seconds>(at - day));
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                       time.minutes().count(), time.seconds().count());
}

std::string uri_encode(std::string_view text, bool keep_slash) {
    std::string result;
    for (char c : text) {
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~' || (c == '/' && keep_slash);
        if (plain)
            result += c;
        else
            result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return result;
}

std::string canonical_query(const Fields& query) {
    Fields encoded;
    for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
    std::ranges::sort(encoded);
    std::string text;
    for (const auto& [name, value] : encoded) text += (text.empty() ? "" : "&") + name + "=" + value;
    return text;
}

std::string canonical_request(const Request& request) {
    Fields headers = canonical_headers(request.headers);
    std::string lines;
    for (const auto& [name, value] : headers) lines += name + ":" + value + "\n";
    return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, canonical_query(request.query), lines,
                       signed_names(headers), request.payload_hash);
}

std::string string_to_sign(const Request& request, const Scope& scope) {
    return fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", scope.timestamp, scope.text(),
                       sha256_hex(bytes::as_bytes(canonical_request(request))));
}

std::array<std::uint8_t, 32> signing_key(std::string_view secret, const Scope& scope) {
    std::string start = fmt::format("AWS4{}", secret);
    Digest key = hmac(bytes::as_bytes(start), scope.timestamp.substr(0, 8));
    key = hmac(key, scope.region);
    key = hmac(key, scope.service);
    return hmac(key, "aws4_request");
}

std::string authorization(const Request& request, const Scope& scope, std::string_view access_key,
                          std::string_view secret) {
    Digest signature = hmac(signing_key(secret, scope), string_to_sign(request, scope));
    return fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}", access_key, scope.text(),
                       signed_names(canonical_headers(request.headers)), hex(signature));
}

std::string sha256_hex(bytes::ByteSpan data) {
    Sha256 hash;
    hash.add(data);
    return hash.hex_digest();
}

std::string sha256_hex(const bytes::Chain& data) {
    Sha256 hash;
    for (const bytes::Slice& slice : data.slices()) hash.add(slice.span());
    return hash.hex_digest();
}

}  // namespace millrace::lts::sigv4
