// The codec against random input: round trips of every command, frames cut at every byte, bytes that are no command.
#include <deque>
#include <memory>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/wire_test_util.h"

namespace millrace::wire {
namespace {

rc::Gen<std::string> text_gen() {
    auto character = rc::gen::weightedOneOf<std::uint32_t>({{6, rc::gen::inRange<std::uint32_t>(1, 0x80)},
                                                            {1, rc::gen::just<std::uint32_t>(0)},
                                                            {1, rc::gen::inRange<std::uint32_t>(0x80, 0x800)},
                                                            {1, rc::gen::inRange<std::uint32_t>(0x800, 0xD800)},
                                                            {1, rc::gen::inRange<std::uint32_t>(0xE000, 0x10000)},
                                                            {1, rc::gen::inRange<std::uint32_t>(0x10000, 0x110000)}});
    return rc::gen::map(rc::gen::container<std::vector<std::uint32_t>>(character),
                        [](const std::vector<std::uint32_t>& all) {
                            std::string text;
                            for (std::uint32_t c : all) {
                                auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
                                if (c < 0x80) {
                                    put(c);
                                } else if (c < 0x800) {
                                    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
                                } else if (c < 0x10000) {
                                    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
                                } else {
                                    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)),
                                        put(0x80 | (c & 0x3F));
                                }
                            }
                            return text;
                        });
}

// Gives every field a random value. Holds the bytes that spans refer to.
class Fill {
  public:
    template <typename T>
    void value(const char*, T& out) {
        if constexpr (std::is_same_v<T, Uuid>) {
            out = {*rc::gen::arbitrary<std::uint64_t>(), *rc::gen::arbitrary<std::uint64_t>()};
        } else {
            out = *rc::gen::arbitrary<T>();
        }
    }
    void text(const char*, std::string& out) { out = *text_gen(); }
    void segment(const char*, std::string& out) { out = *text_gen(); }
    void token(const char*, std::string& out) { out = *text_gen(); }
    void blob(const char*, bytes::ByteSpan& out) { out = held_.emplace_back(*rc::gen::arbitrary<ByteVector>()); }
    void blob(const char*, std::string& out) { out = *rc::gen::arbitrary<std::string>(); }
    void lenient_blob(const char* name, bytes::ByteSpan& out) { blob(name, out); }
    void optional_blob(const char* name, std::string& out) { blob(name, out); }
    void obsolete_blob(const char*) {}
    void rest(const char* name, bytes::ByteSpan& out) { blob(name, out); }
    void zeros(const char*, std::int32_t& out) { out = *rc::gen::inRange(0, 1000); }
    void event(const char* name, bytes::ByteSpan& out, bytes::ByteSpan&) { blob(name, out); }
    template <typename T>
    void optional(const char* name, T& out) {
        value(name, out);
    }
    template <typename T>
    void if_any(const char* name, T& out) {
        if constexpr (std::is_same_v<T, std::string>) {
            text(name, out);
        } else {
            value(name, out);
        }
    }
    template <typename T>
    void list(const char* name, std::vector<T>& out) {
        out.resize(static_cast<std::size_t>(*rc::gen::inRange(0, 6)));
        for (T& item : out) {
            if constexpr (std::is_same_v<T, std::string>) {
                text(name, item);
            } else if constexpr (std::is_integral_v<T>) {
                value(name, item);
            } else {
                T::fields(item, *this);
            }
        }
    }
    template <typename T>
    void lenient_list(const char* name, std::vector<T>& out) {
        list(name, out);
    }
    template <typename T>
    void lenient_list_if_any(const char* name, std::vector<T>& out) {
        list(name, out);
    }
    void table_key(const char* name, std::string& key, std::int64_t& version) {
        blob(name, key);
        if (!key.empty()) value(name, version);  // an empty key travels without a version
    }
    void table_value(const char* name, std::string& out) { blob(name, out); }

  private:
    std::deque<ByteVector> held_;
};

template <typename... Variants>
struct CommandsOf;
template <typename... A, typename... B>
struct CommandsOf<std::variant<A...>, std::variant<B...>> {
    using Types = testing::Types<Event, PartialEvent, A..., B...>;
};

template <typename C>
class EveryCommand : public testing::Test {};
struct CommandName {
    template <typename C>
    static std::string GetName(int index) {
        return std::string(to_string(C::kType)) + "_" + std::to_string(index);
    }
};
using Every = CommandsOf<Request, Reply>::Types;
TYPED_TEST_SUITE(EveryCommand, Every, CommandName);

TYPED_TEST(EveryCommand, RoundTrip) {
    bool held = rc::check([] {
        Fill fill;
        TypeParam command{};
        TypeParam::fields(command, fill);
        ByteVector bytes = encoded(command);
        Frame frame = only_frame(bytes);
        RC_ASSERT(frame.type == TypeParam::kType);
        auto back = decode<TypeParam>(frame.payload);
        RC_ASSERT(back.has_value());
        RC_ASSERT(print(*back) == print(command));
        RC_ASSERT(encoded(*back) == bytes);
    });
    EXPECT_TRUE(held);
}

// A command cut at `size`: an error, or the fields up to some point and the defaults from there on.
template <Command C>
void check_cut(const C& whole, bytes::ByteSpan payload, std::size_t size) {
    auto exact = std::make_unique<std::uint8_t[]>(size);  // so that a read beyond it is found out
    std::copy_n(payload.begin(), size, exact.get());
    auto part = decode<C>({exact.get(), size});
    if (!part) {
        EXPECT_TRUE(part.error() == Errc::kInvalidArgument) << part.error().to_string();
        EXPECT_EQ(part.error().message().find(to_string(C::kType)), 0u) << part.error().message();
        return;
    }
    auto got = dump(*part).fields;
    auto full = dump(whole).fields;
    auto defaults = dump(C{}).fields;
    constexpr bool kTakesTheRest = C::kType == CommandType::kAppendBlock || C::kType == CommandType::kPadding ||
                                   C::kType == CommandType::kEvent || C::kType == CommandType::kPartialEvent;
    ASSERT_EQ(got.size(), full.size());
    std::size_t i = 0;
    while (i < got.size() && got[i] == full[i]) ++i;
    for (; i < got.size(); ++i) {
        if (kTakesTheRest && i + 1 == got.size()) break;
        EXPECT_EQ(got[i], defaults[i]) << "cut at " << size;
    }
}

TEST(CutFrames, GoldenVectorsAtEveryByte) {
    for (const auto& [id, bytes] : golden()) {
        SCOPED_TRACE(id);
        bytes::ByteSpan payload = only_frame(bytes).payload;
        auto cut_everywhere = [&](const auto& command) {
            std::visit(
                [&](const auto& c) {
                    for (std::size_t n = 0; n < payload.size(); ++n) check_cut(c, payload, n);
                },
                command);
        };
        auto request = decode_request(only_frame(bytes).type, payload);
        auto reply = decode_reply(only_frame(bytes).type, payload);
        ASSERT_TRUE(request || reply);
        if (request) cut_everywhere(*request);
        if (reply) cut_everywhere(*reply);
    }
}

TYPED_TEST(EveryCommand, CutAtEveryByte) {
    bool held = rc::check([] {
        Fill fill;
        TypeParam command{};
        TypeParam::fields(command, fill);
        ByteVector bytes = encoded(command);
        bytes::ByteSpan payload = only_frame(bytes).payload;
        std::size_t size = payload.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, payload.size());
        check_cut(command, payload, size);
        RC_ASSERT(!testing::Test::HasFailure());
    });
    EXPECT_TRUE(held);
}

RC_GTEST_PROP(AnyBytes, DecodeToACommandOrAnError, (std::int8_t code, const ByteVector& payload)) {
    auto check = [&](const auto& result) {
        if (!result) return;
        ByteVector bytes = std::visit([](const auto& c) { return encoded(c); }, *result);
        only_frame(bytes);
    };
    check(decode_request(code, payload));
    check(decode_reply(code, payload));
}

}  // namespace
}  // namespace millrace::wire
