#include "bytes/slab_memory.h"

#include <algorithm>
#include <map>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/units.h"
#include "bytes/buffer.h"

namespace millrace::bytes {
namespace {

std::uintptr_t address(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

TEST(SlabMemory, IsNeverGivenTwice) {
    SeededRandom random(1);
    struct Piece {
        std::size_t size = 0;
        std::uint8_t mark = 0;
    };
    std::map<std::uintptr_t, Piece> live;
    auto give_back = [&](auto at) {
        auto* bytes = reinterpret_cast<std::uint8_t*>(at->first);
        const Piece& piece = at->second;
        EXPECT_EQ(bytes[0], piece.mark);
        EXPECT_EQ(bytes[piece.size - 1], piece.mark) << piece.size;
        free_slab_memory(bytes, piece.size);
        live.erase(at);
    };
    for (int i = 0; i < 4000; ++i) {
        std::size_t size = (1 + random.below(700)) * kPageSize;
        if (random.below(3) > 0) size = (256 * kKiB) << random.below(4);
        auto* memory = static_cast<std::uint8_t*>(allocate_slab_memory(size));
        ASSERT_NE(memory, nullptr);
        ASSERT_EQ(address(memory) % kPageSize, 0u);
        auto after = live.lower_bound(address(memory));
        if (after != live.end()) {
            ASSERT_LE(address(memory) + size, after->first);
        }
        if (after != live.begin()) {
            auto before = std::prev(after);
            ASSERT_LE(before->first + before->second.size, address(memory));
        }
        auto mark = static_cast<std::uint8_t>(i);
        memory[0] = memory[size - 1] = mark;
        live[address(memory)] = {size, mark};
        if (live.size() > 60)
            give_back(std::next(live.begin(), static_cast<std::ptrdiff_t>(random.below(live.size()))));
    }
    while (!live.empty()) give_back(live.begin());
}

#ifndef MILLRACE_SANITIZED
constexpr std::size_t kBlock = 2 * kMiB;

// So one huge page can be behind it.
TEST(SlabMemory, APieceLiesInOneBlock) {
    std::vector<void*> pieces;
    for (std::size_t size : {256 * kKiB, 512 * kKiB, 1 * kMiB, 2 * kMiB, 1 * kMiB - 8 * kKiB}) {
        for (int i = 0; i < 5; ++i) {
            void* memory = allocate_slab_memory(size);
            EXPECT_EQ(address(memory) / kBlock, (address(memory) + size - 1) / kBlock) << size;
            pieces.push_back(memory);
        }
        for (void* memory : pieces) free_slab_memory(memory, size);
        pieces.clear();
    }
    void* large = allocate_slab_memory(5 * kMiB);
    EXPECT_EQ(address(large) % kBlock, 0u);
    free_slab_memory(large, 5 * kMiB);
}

TEST(SlabMemory, WhatIsFreeIsUsedBeforeAnotherBlock) {
    std::vector<void*> all;
    for (int i = 0; i < 64; ++i) all.push_back(allocate_slab_memory(kMiB));
    std::vector<std::uintptr_t> free_again;
    for (std::size_t i = 0; i < all.size(); i += 2) {
        free_again.push_back(address(all[i]));
        free_slab_memory(all[i], kMiB);
        all[i] = nullptr;
    }
    for (void*& place : all) {
        if (place != nullptr) continue;
        place = allocate_slab_memory(kMiB);
        EXPECT_NE(std::ranges::find(free_again, address(place)), free_again.end());
    }
    for (void* memory : all) free_slab_memory(memory, kMiB);
}
#endif

TEST(SlabMemory, IsSharedByThreads) {
    std::vector<std::thread> threads;
    for (std::uint8_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([thread] {
            SeededRandom random(thread);
            for (int i = 0; i < 2000; ++i) {
                std::size_t size = (128 * kKiB) << random.below(5);
                auto* memory = static_cast<std::uint8_t*>(allocate_slab_memory(size));
                memory[0] = memory[size - 1] = thread;
                std::this_thread::yield();
                EXPECT_EQ(memory[0], thread);
                EXPECT_EQ(memory[size - 1], thread);
                free_slab_memory(memory, size);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace millrace::bytes
