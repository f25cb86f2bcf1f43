#include "controller/records/marker_entries.h"

#include <array>

#include <fmt/format.h>

#include "controller/names.h"

namespace millrace::controller {

namespace {
constexpr std::array<std::string_view, 4> kKinds = {"stream", "group", "scope", "table"};
}

std::string key_text(std::string_view text) {
    std::string key;
    for (char c : text) {
        bool plain = is_possible_name(std::string_view(&c, 1));
        if (plain) key.push_back(c);
        if (!plain) key += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
    return key;
}

std::string marker_value() { return RecordWriter().take(); }

std::string TagEntry::prefix(std::string_view scope, std::string_view tag) {
    return fmt::format("tag/{}/{}/", scope, key_text(tag));
}

std::string PendingEntry::key() const {
    std::string key = fmt::format("{}{}/{}", kPrefix, kKinds[static_cast<std::size_t>(kind)], scope);
    if (kind != Kind::kScope) key.append("/").append(name);
    return key;
}

Result<PendingEntry> PendingEntry::parse(std::string_view key) {
    auto damaged = [&] { return fail(Errc::kCorrupt, fmt::format("damaged key {}", key)); };
    if (!key.starts_with(kPrefix)) return damaged();
    std::string_view rest = key.substr(kPrefix.size());
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
        if (!rest.starts_with(kKinds[i]) || !rest.substr(kKinds[i].size()).starts_with('/')) continue;
        PendingEntry entry;
        entry.kind = static_cast<Kind>(i);
        std::string_view names = rest.substr(kKinds[i].size() + 1);
        if (entry.kind == Kind::kScope) {
            if (!is_possible_name(names)) return damaged();
            entry.scope = names;
            return entry;
        }
        auto scoped = parse_scoped_name(names);
        if (!scoped) return damaged();
        entry.scope = std::move(scoped->scope);
        entry.name = std::move(scoped->stream);
        return entry;
    }
    return damaged();
}

}  // namespace millrace::controller
