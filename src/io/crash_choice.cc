#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "io/memory_file_system.h"

namespace millrace::io {
namespace {

using SectorKey = std::pair<std::uint64_t, std::uint64_t>;  // write, sector

SectorKey key_of(const PendingSector& sector) { return {sector.write_id, sector.sector}; }

// One density for the whole sample and one per write: so that whole writes survive or vanish as often as single sectors
// do.
std::vector<PendingSector> sample(const std::vector<PendingSector>& pending, Random& random) {
    std::map<std::uint64_t, std::uint64_t> kept_percent;
    std::vector<PendingSector> kept;
    for (const PendingSector& sector : pending) {
        auto [found, added] = kept_percent.try_emplace(sector.write_id, 0);
        if (added) {
            static constexpr std::uint64_t kPercents[] = {0, 0, 10, 50, 90, 100, 100, 100};
            found->second = kPercents[random.below(std::size(kPercents))];
        }
        if (random.below(100) < found->second) kept.push_back(sector);
    }
    return kept;
}

}  // namespace

CrashChoice CrashChoice::lose_all() {
    return {[](const PendingSector&) { return false; }, 0, "all pending changes lost"};
}

CrashChoice CrashChoice::keep_all() {
    return {[](const PendingSector&) { return true; }, SIZE_MAX, "all pending changes kept"};
}

CrashChoice CrashChoice::only(const std::vector<PendingSector>& kept, std::size_t directory_operations) {
    std::set<SectorKey> keys;
    std::string text = fmt::format("{} directory operations kept, {} sectors:", directory_operations, kept.size());
    for (const PendingSector& sector : kept) {
        keys.insert(key_of(sector));
        if (keys.size() <= 32) text += fmt::format(" {}#{}@{}", sector.file, sector.sector, sector.write_id);
    }
    auto keep = [keys = std::move(keys)](const PendingSector& sector) { return keys.contains(key_of(sector)); };
    return {std::move(keep), directory_operations, std::move(text)};
}

std::vector<CrashChoice> MemoryFileSystem::crash_choices(std::size_t limit, Random& random) const {
    std::vector<PendingSector> sectors = pending();
    std::size_t directory_operations = pending_directory_operations();
    std::vector<CrashChoice> choices;
    bool few = sectors.size() < 30 && (std::size_t{1} << sectors.size()) <= limit / (directory_operations + 1);
    if (!few) {
        choices.push_back(CrashChoice::lose_all());
        choices.push_back(CrashChoice::keep_all());
        while (choices.size() < limit) {
            choices.push_back(CrashChoice::only(sample(sectors, random), random.below(directory_operations + 1)));
        }
        return choices;
    }
    for (std::size_t names = 0; names <= directory_operations; ++names) {
        for (std::size_t mask = 0; mask < std::size_t{1} << sectors.size(); ++mask) {
            std::vector<PendingSector> kept;
            for (std::size_t i = 0; i < sectors.size(); ++i) {
                if ((mask >> i & 1) != 0) kept.push_back(sectors[i]);
            }
            choices.push_back(CrashChoice::only(kept, names));
        }
    }
    return choices;
}

}  // namespace millrace::io
