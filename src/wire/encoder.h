// The visitors that measure and write fields. Private to codec.cc. A frame is measured first, then written into memory
// of exactly that size, so that a small reply is a handful of stores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/assert.h"
#include "bytes/binary.h"
#include "wire/command_type.h"
#include "wire/limits.h"
#include "wire/modified_utf8.h"

namespace millrace::wire {

// What the two have in common: where the variants of a field differ only for a reader. `Base` offers integer(), id(),
// string(), raw() and fill().
template <typename Base>
class FieldWriter : public Base {
  public:
    using Base::Base;

    template <typename T>
    void value(const char*, const T& v) {
        if constexpr (std::is_same_v<T, Uuid>) {
            this->integer(v.high);
            this->integer(v.low);
        } else if constexpr (std::is_same_v<T, bool>) {
            this->integer(static_cast<std::uint8_t>(v ? 1 : 0));
        } else {
            this->integer(v);
        }
    }
    void text(const char*, std::string_view v) { this->string(v); }
    void segment(const char*, std::string_view v) { this->string(v); }
    void token(const char*, std::string_view v) { this->string(v); }

    void blob(const char*, bytes::ByteSpan v) {
        this->integer(static_cast<std::int32_t>(v.size()));
        this->raw(v);
    }
    void blob(const char* name, const std::string& v) { blob(name, bytes::as_bytes(v)); }
    void lenient_blob(const char* name, bytes::ByteSpan v) { blob(name, v); }
    void optional_blob(const char* name, const std::string& v) { blob(name, v); }
    void obsolete_blob(const char*) { this->integer(std::int32_t{0}); }
    void rest(const char*, bytes::ByteSpan v) { this->raw(v); }
    void zeros(const char*, std::int32_t length) { this->fill(static_cast<std::size_t>(length < 0 ? 0 : length)); }
    void event(const char* name, bytes::ByteSpan event, bytes::ByteSpan) {
        this->integer(static_cast<std::int32_t>(CommandType::kEvent));
        blob(name, event);
    }

    template <typename T>
    void optional(const char* name, const T& v) {
        value(name, v);
    }
    template <typename T>
    void if_any(const char* name, const T& v) {
        if constexpr (std::is_same_v<T, std::string>) {
            text(name, v);
        } else {
            value(name, v);
        }
    }

    template <typename T>
    void list(const char*, const std::vector<T>& items) {
        this->integer(static_cast<std::int32_t>(items.size()));
        for (const T& item : items) {
            if constexpr (std::is_same_v<T, std::string>) {
                this->string(item);
            } else if constexpr (std::is_integral_v<T>) {
                this->integer(item);
            } else {
                T::fields(item, *this);
            }
        }
    }
    template <typename T>
    void lenient_list(const char* name, const std::vector<T>& items) {
        list(name, items);
    }
    template <typename T>
    void lenient_list_if_any(const char* name, const std::vector<T>& items) {
        list(name, items);
    }

    // The total counts eight bytes of version even when, for an empty key, none are written.
    void table_key(const char* name, const std::string& key, std::int64_t version) {
        this->integer(static_cast<std::int32_t>(sizeof(std::int32_t) + key.size() + sizeof version));
        blob(name, key);
        if (!key.empty()) this->integer(version);
    }
    void table_value(const char* name, const std::string& v) {
        this->integer(static_cast<std::int32_t>(sizeof(std::int32_t) + v.size()));
        blob(name, v);
    }
};

class SizeBase {
  public:
    std::size_t size() const { return size_; }

  protected:
    template <typename T>
    void integer(T) {
        size_ += sizeof(T);
    }
    void string(std::string_view v) {
        size_ += sizeof(std::uint16_t) + measure_modified_utf8(v, kMaxStringBytes).encoded_bytes;
    }
    void raw(bytes::ByteSpan v) { size_ += v.size(); }
    void fill(std::size_t count) { size_ += count; }

  private:
    std::size_t size_ = 0;
};

class StoreBase {
  public:
    explicit StoreBase(std::uint8_t* target) : at_(target) {}
    const std::uint8_t* position() const { return at_; }

  protected:
    template <typename T>
    void integer(T v) {
        bytes::store_be(at_, v);
        at_ += sizeof v;
    }
    void string(std::string_view v) {
        ModifiedUtf8Extent extent = measure_modified_utf8(v, kMaxStringBytes);
        integer(static_cast<std::uint16_t>(extent.encoded_bytes));
        encode_modified_utf8(v, extent, at_);
        at_ += extent.encoded_bytes;
    }
    void raw(bytes::ByteSpan v) {
        if (v.empty()) return;
        std::memcpy(at_, v.data(), v.size());
        at_ += v.size();
    }
    void fill(std::size_t count) {
        if (count == 0) return;
        std::memset(at_, 0, count);
        at_ += count;
    }

  private:
    std::uint8_t* at_;
};

using Sizer = FieldWriter<SizeBase>;
using Encoder = FieldWriter<StoreBase>;

}  // namespace millrace::wire
