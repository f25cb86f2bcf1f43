// For tests of durable logs: frames with known contents, and a visitor that keeps what recovery delivers.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "wal/durable_log.h"

namespace millrace::wal {

using Bytes = std::vector<std::uint8_t>;

// Contents that tell a frame from every other: container, sequence and a tag chosen by the test.
inline Bytes make_payload(ContainerId container, LogSequence sequence, std::uint64_t tag, std::size_t size) {
    std::uint64_t state = container.value() * 0x9e3779b97f4a7c15ULL + sequence.value() * 0xc2b2ae3d27d4eb4fULL +
                          tag * 0x165667b19e3779f9ULL;
    Bytes payload(size);
    for (std::size_t i = 0; i < size; ++i) {
        if (i % 8 == 0) state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        payload[i] = static_cast<std::uint8_t>(state >> (i % 8 * 8));
    }
    return payload;
}

inline Frame make_frame(bytes::ByteSpan payload) {
    Frame frame;
    frame.slab = bytes::Slab::allocate(kHeaderRoom + payload.size());
    frame.payload_size = payload.size();
    if (!payload.empty()) std::memcpy(frame.slab->data() + frame.payload_begin(), payload.data(), payload.size());
    return frame;
}

struct RecoveredFrame {
    Appended where;
    Bytes payload;
};

class CollectingVisitor final : public RecoveryVisitor {
  public:
    Result<> frame(ContainerId container, const Appended& where, bytes::ByteSpan payload) override {
        frames[container].push_back({where, Bytes(payload.begin(), payload.end())});
        return {};
    }
    std::size_t count() const {
        std::size_t total = 0;
        for (const auto& [container, list] : frames) total += list.size();
        return total;
    }

    std::map<ContainerId, std::vector<RecoveredFrame>> frames;
};

}  // namespace millrace::wal
