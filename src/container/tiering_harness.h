// A container over objects in memory that moves after few bytes, and what was written to it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "container/container_harness.h"
#include "container/tiering.h"

namespace millrace::container {

inline ContainerOptions small_tier() {
    ContainerOptions options;
    options.tiering.flush_bytes = 4000;
    options.tiering.flush_after = std::chrono::milliseconds(2000);
    options.tiering.chunk_bytes_min = 2000;
    options.tiering.piece_bytes_min = 2000;
    options.tiering.object_bytes_max = 8000;
    options.tiering.pieces_max = 4;
    options.tiering.reader.block_bytes = kObjectBlock;
    options.tiering.reader.cache_bytes = std::size_t{4} * kObjectBlock;
    return options;
}

class Tier : public testing::Test {
  protected:
    explicit Tier() : objects(std::make_shared<MemoryObjects>()) {}

    // `count` appends of `size` bytes by a writer of its own; what was written is kept in `model`.
    void write(Harness& h, const std::string& segment, int count, std::size_t size) {
        AppendSession& w = h.session(segment, ++writers);
        ASSERT_TRUE(h.setup(w));
        for (int i = 1; i <= count; ++i) {
            std::string data(size, static_cast<char>('a' + (letter++ % 26)));
            model[segment] += data;
            h.append(w, i, data);
            h.executor.run_until_idle();
        }
    }
    // Long enough for all rounds that are due.
    void settle(Harness& h) {
        for (int i = 0; i < 20; ++i) h.executor.advance(std::chrono::milliseconds(1000));
    }
    void expect_all(Harness& h) {
        for (const auto& [name, text] : model) {
            auto info = h.info(name);
            ASSERT_TRUE(info) << info.error().to_string();
            auto start = static_cast<std::size_t>(info->start_offset);
            std::string now = h.text(name, static_cast<std::int64_t>(start));
            std::string expected = text.substr(start);
            if (now == expected) continue;
            auto at = std::mismatch(now.begin(), now.end(), expected.begin(), expected.end()).first - now.begin();
            auto failing = h.read(name, static_cast<std::int64_t>(start) + at);
            FAIL() << name << " from " << start << ": " << now.size() << " bytes instead of " << expected.size()
                   << ", different at " << at
                   << "; there: " << (failing && !*failing ? failing->error().to_string() : "bytes");
        }
    }

    std::shared_ptr<MemoryObjects> objects;
    std::map<std::string, std::string> model;
    std::uint64_t writers = 0;
    int letter = 0;
};

}  // namespace millrace::container
