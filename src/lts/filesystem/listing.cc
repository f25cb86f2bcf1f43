#include "lts/filesystem/listing.h"

#include <algorithm>

namespace millrace::lts {
namespace {

// A walk in the order of keys. A folder sorts as its name with a slash, an object as its name: "a-b" comes before what
// is in "a", though "a" comes before "a-b". Which of the two a name is, is asked only when its turn has come.
class Walk {
  public:
    Walk(io::FileSystem& files, const std::string& root, const std::string& prefix, const std::string& after,
         std::size_t limit)
        : files_(files), root_(root), prefix_(prefix), after_(after), limit_(limit) {}

    Result<> folder(const std::string& below) {  // "" or "a/b/"
        auto names = files_.list(root_ + "/" + below);
        if (!names && names.error() == Errc::kNotFound) return {};
        if (!names) return fail(names.error());
        std::vector<std::string> candidates;
        for (const std::string& name : *names) {
            std::string key = below + name;
            if (!check_key(key)) continue;  // not ours, or ours but no object
            if (key.starts_with(prefix_) && key > after_) candidates.push_back(key);
            key += '/';
            bool may_hold = key.starts_with(prefix_) || prefix_.starts_with(key);
            if (may_hold && (key > after_ || after_.starts_with(key))) candidates.push_back(std::move(key));
        }
        std::ranges::sort(candidates);
        for (const std::string& candidate : candidates) {
            if (page_.objects.size() == limit_) break;
            if (auto visited = visit(candidate); !visited) return visited;
        }
        return {};
    }

    ListPage page() {
        if (page_.objects.size() == limit_) page_.next = page_.objects.back().key;
        return std::move(page_);
    }

  private:
    Result<> visit(const std::string& candidate) {
        auto status = files_.status(root_ + "/" + candidate);
        // A name with a slash that is a file, and one that was removed meanwhile.
        if (!status && (status.error() == Errc::kNotFound || status.error() == Errc::kInvalidArgument)) return {};
        if (!status) return fail(status.error());
        bool as_folder = candidate.back() == '/';
        if (status->directory != as_folder) return {};
        if (as_folder) return folder(candidate);
        page_.objects.push_back({candidate, {status->size, status->modified_ms}});
        return {};
    }

    io::FileSystem& files_;
    const std::string& root_;
    const std::string& prefix_;
    const std::string& after_;
    const std::size_t limit_;
    ListPage page_;
};

}  // namespace

Result<ListPage> list_objects(io::FileSystem& files, const std::string& root, const std::string& prefix,
                              const std::string& after, std::size_t limit) {
    Walk walk(files, root, prefix, after, limit);
    if (auto walked = walk.folder(""); !walked) return fail(walked.error());
    return walk.page();
}

}  // namespace millrace::lts
