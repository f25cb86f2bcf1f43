// Time and random numbers come in through interfaces, so that a simulation can drive them from a seed.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

#include "base/ids.h"

namespace millrace {

class Clock {
  public:
    virtual ~Clock() = default;
    virtual std::chrono::steady_clock::time_point now() const = 0;
    virtual std::int64_t wall_millis() const = 0;  // ms since the epoch
};

class SystemClock final : public Clock {
  public:
    std::chrono::steady_clock::time_point now() const override { return std::chrono::steady_clock::now(); }
    std::int64_t wall_millis() const override {
        using namespace std::chrono;
        return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    }
};

class ManualClock final : public Clock {
  public:
    std::chrono::steady_clock::time_point now() const override { return now_; }
    std::int64_t wall_millis() const override { return wall_millis_; }
    void advance(std::chrono::milliseconds by) {
        now_ += by;
        wall_millis_ += by.count();
    }

  private:
    std::chrono::steady_clock::time_point now_{};
    std::int64_t wall_millis_ = 1'700'000'000'000;
};

// Not thread-safe: one per core.
class Random {
  public:
    virtual ~Random() = default;
    virtual std::uint64_t next() = 0;
    std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
    Uuid uuid() { return Uuid{next(), next()}; }
};

class SeededRandom final : public Random {
  public:
    explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t next() override { return engine_(); }

  private:
    std::mt19937_64 engine_;
};

class SystemRandom final : public Random {
  public:
    SystemRandom() : engine_(std::random_device{}() * 0x1'0000'0001ULL ^ std::random_device{}()) {}
    std::uint64_t next() override { return engine_(); }

  private:
    std::mt19937_64 engine_;
};

}  // namespace millrace
