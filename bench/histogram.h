// Log-linear latency histogram in microseconds: 64 buckets per power of two, so a value is known to 1.6 %. The same
// layout idea as HdrHistogram, whose C library the reference distribution does not carry.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace millrace::bench {

class Histogram {
  public:
    void record(std::uint64_t value) {
        ++counts_[index(value)];
        ++total_;
        if (value > max_) max_ = value;
    }
    std::uint64_t percentile(double percent) const {
        auto wanted = static_cast<std::uint64_t>(static_cast<double>(total_) * percent / 100.0);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted || (seen == total_ && total_ > 0)) return upper(i);
        }
        return max_;
    }
    std::uint64_t total() const { return total_; }
    std::uint64_t max() const { return max_; }

  private:
    static constexpr int kBits = 6;
    static constexpr std::uint64_t kLinear = 1ULL << kBits;
    static std::size_t index(std::uint64_t value) {
        if (value < kLinear) return value;
        int shift = std::bit_width(value) - kBits - 1;
        return static_cast<std::size_t>((static_cast<std::uint64_t>(shift + 1) << kBits) + (value >> shift) - kLinear);
    }
    static std::uint64_t upper(std::size_t i) {
        if (i < kLinear) return i;
        std::uint64_t shift = (i >> kBits) - 1;
        return ((kLinear + (i & (kLinear - 1)) + 1) << shift) - 1;
    }
    std::array<std::uint64_t, (64 - kBits + 1) << kBits> counts_{};
    std::uint64_t total_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace millrace::bench
