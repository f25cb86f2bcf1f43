// Strong ids: no bare integers in signatures. A NamedInt compares, hashes and prints, and does nothing else.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace millrace {

template <typename Tag, typename Rep>
class NamedInt {
  public:
    using rep = Rep;
    constexpr NamedInt() = default;
    constexpr explicit NamedInt(Rep value) : value_(value) {}
    constexpr Rep value() const { return value_; }
    constexpr auto operator<=>(const NamedInt&) const = default;
    constexpr NamedInt next() const { return NamedInt(static_cast<Rep>(value_ + 1)); }

    template <typename H>
    friend H AbslHashValue(H h, NamedInt id) {
        return H::combine(std::move(h), id.value_);
    }

  private:
    Rep value_ = 0;
};

using ContainerId = NamedInt<struct ContainerIdTag, std::uint32_t>;
using SegmentId = NamedInt<struct SegmentIdTag, std::uint64_t>;  // internal, unique for ever within a container
using LogSequence =
    NamedInt<struct LogSequenceTag, std::uint64_t>;  // position of a frame in a container's durable log; from 1

// 128-bit id, most significant half first, as on the wire.
struct Uuid {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    constexpr auto operator<=>(const Uuid&) const = default;
    constexpr bool is_nil() const { return high == 0 && low == 0; }

    template <typename H>
    friend H AbslHashValue(H h, const Uuid& id) {
        return H::combine(std::move(h), id.high, id.low);
    }
};

}  // namespace millrace

template <typename Tag, typename Rep>
struct std::hash<millrace::NamedInt<Tag, Rep>> {
    std::size_t operator()(millrace::NamedInt<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
