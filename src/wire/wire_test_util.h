// For the tests of this room: hex, files of vectors, and commands as lists of printed fields.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bytes/binary.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::wire {

using ByteVector = std::vector<std::uint8_t>;

inline std::string to_hex(bytes::ByteSpan data) {
    std::string text;
    for (std::uint8_t byte : data) text += fmt::format("{:02x}", byte);
    return text;
}

inline ByteVector from_hex(std::string_view text) {
    ByteVector data;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        data.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
    }
    return data;
}

// A command's fields in wire order, printed: name and value.
class Dump {
  public:
    std::vector<std::pair<std::string, std::string>> fields;

    std::string joined(std::string_view separator) const {
        std::string text;
        for (const auto& [name, value] : fields) {
            if (!text.empty()) text += separator;
            text += name.empty() ? value : name + "=" + value;
        }
        return text;
    }

    template <typename T>
    void value(const char* name, const T& v) {
        if constexpr (std::is_same_v<T, Uuid>) {
            add(name, fmt::format("{:016x}{:016x}", v.high, v.low));
        } else {
            add(name, std::to_string(static_cast<std::int64_t>(v)));
        }
    }
    void text(const char* name, const std::string& v) { add(name, v); }
    void segment(const char* name, const std::string& v) { add(name, v); }
    void token(const char* name, const std::string& v) { add(name, v); }
    void blob(const char* name, bytes::ByteSpan v) { add(name, to_hex(v)); }
    void blob(const char* name, const std::string& v) { add(name, to_hex(bytes::as_bytes(v))); }
    void lenient_blob(const char* name, bytes::ByteSpan v) { blob(name, v); }
    void optional_blob(const char* name, const std::string& v) { blob(name, v); }
    void obsolete_blob(const char*) {}
    void rest(const char* name, bytes::ByteSpan v) { blob(name, v); }
    void zeros(const char* name, std::int32_t v) { value(name, v); }
    void event(const char* name, bytes::ByteSpan v, bytes::ByteSpan) { blob(name, v); }
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
    void list(const char* name, const std::vector<T>& items) {
        std::string all;
        for (const T& item : items) {
            Dump one;
            if constexpr (std::is_same_v<T, std::string>) {
                one.text("", item);
            } else if constexpr (std::is_integral_v<T>) {
                one.value("", item);
            } else {
                T::fields(item, one);
            }
            if (&item != items.data()) all += ";";
            all += one.joined(",");
        }
        add(name, "[" + all + "]");
    }
    template <typename T>
    void lenient_list(const char* name, const std::vector<T>& items) {
        list(name, items);
    }
    template <typename T>
    void lenient_list_if_any(const char* name, const std::vector<T>& items) {
        list(name, items);
    }
    void table_key(const char* name, const std::string& key, std::int64_t version) {
        blob(name, key);
        value("version", version);
    }
    void table_value(const char* name, const std::string& v) { blob(name, v); }

  private:
    void add(const char* name, std::string v) { fields.emplace_back(name, std::move(v)); }
};

template <Command C>
Dump dump(const C& command) {
    Dump d;
    C::fields(command, d);
    return d;
}

template <Command C>
std::string print(const C& command) {
    return std::string(to_string(C::kType)) + " " + dump(command).joined(" ");
}

template <typename... C>
std::string print(const std::variant<C...>& command) {
    return std::visit([](const auto& c) { return print(c); }, command);
}

template <Command C>
ByteVector encoded(const C& command) {
    ByteVector out;
    bytes::Writer writer(out);
    encode(command, writer);
    EXPECT_EQ(frame_size(command), out.size()) << to_string(C::kType);
    return out;
}

inline Frame only_frame(bytes::ByteSpan bytes) {
    FrameParser parser(bytes);
    auto frame = parser.next();
    EXPECT_TRUE(frame && *frame) << "no whole frame in " << to_hex(bytes);
    EXPECT_EQ(parser.consumed(), bytes.size());
    return frame && *frame ? **frame : Frame{};
}

// Lines of testdata/<name>: the first word is the key, the rest is the value.
inline std::vector<std::pair<std::string, std::string>> vectors(const std::string& name) {
    std::ifstream file(std::string(WIRE_TESTDATA) + "/" + name);
    EXPECT_TRUE(file) << name;
    std::vector<std::pair<std::string, std::string>> lines;
    for (std::string line; std::getline(file, line);) {
        std::size_t space = line.find(' ');
        if (space != std::string::npos) lines.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
    return lines;
}

// The golden frames, by id.
inline const std::map<std::string, ByteVector>& golden() {
    static const std::map<std::string, ByteVector> frames = [] {
        std::map<std::string, ByteVector> all;
        for (const auto& [id, hex] : vectors("golden.txt")) all.emplace(id, from_hex(hex));
        return all;
    }();
    return frames;
}

}  // namespace millrace::wire
