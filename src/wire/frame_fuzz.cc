// Any bytes as what a connection receives: frames, then both decoders, then the append state machine. Beyond not
// crashing: what was decoded must be written and read again the same.
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "wire/append_assembler.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::wire {
namespace {

template <typename Variant>
Result<Variant> decode_any(const Frame& frame) {
    if constexpr (std::is_same_v<Variant, Request>) {
        return decode_request(frame.type, frame.payload);
    } else {
        return decode_reply(frame.type, frame.payload);
    }
}

// Encoding is the normal form: it is a fixed point of decoding and encoding.
template <typename Variant>
void check_round_trip(const Variant& command) {
    std::vector<std::uint8_t> first;
    std::vector<std::uint8_t> second;
    bytes::Writer first_writer(first);
    bytes::Writer second_writer(second);
    std::visit([&](const auto& c) { encode(c, first_writer); }, command);
    FrameParser parser(first);
    auto frame = parser.next();
    MILLRACE_ASSERT(frame && *frame);
    auto again = decode_any<Variant>(**frame);
    MILLRACE_ASSERT(again);
    std::visit([&](const auto& c) { encode(c, second_writer); }, *again);
    MILLRACE_ASSERT(first == second);
}

struct Feed {
    AppendAssembler& appends;

    bool taken(const Result<>& result) { return result.has_value(); }
    bool taken(const Result<AssembledAppend>& result) {
        if (!result) return false;
        std::uint64_t sum = 0;
        for (bytes::ByteSpan piece : result->pieces()) {
            for (std::uint8_t byte : piece) sum += byte;
        }
        volatile std::uint64_t sink = sum;
        (void)sink;
        return true;
    }

    bool operator()(const SetupAppend& c) { return taken(appends.on_setup_append(c, 1)); }
    bool operator()(const AppendBlock& c) { return taken(appends.on_append_block(c)); }
    bool operator()(const AppendBlockEnd& c) { return taken(appends.on_append_block_end(c)); }
    bool operator()(const ConditionalAppend& c) { return taken(appends.on_conditional_append(c)); }
    bool operator()(const ConditionalBlockEnd& c) { return taken(appends.on_conditional_block_end(c)); }
    template <typename C>
    bool operator()(const C&) {
        return taken(appends.on_other(C::kType));
    }
};

void run(bytes::ByteSpan window) {
    FrameParser frames(window);
    AppendAssembler appends;
    bool feeding = true;
    for (;;) {
        auto frame = frames.next();
        if (!frame || !*frame) return;
        auto request = decode_any<Request>(**frame);
        auto reply = decode_any<Reply>(**frame);
        if (request) check_round_trip(*request);
        if (reply) check_round_trip(*reply);
        if (request && feeding) feeding = std::visit(Feed{appends}, *request);
    }
}

}  // namespace
}  // namespace millrace::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    millrace::wire::run({data, size});
    return 0;
}
