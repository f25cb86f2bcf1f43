#include "api/rest/paging.h"

#include <iterator>
#include <memory>

namespace millrace::rest {
namespace {

struct Collection : std::enable_shared_from_this<Collection> {
    void next(std::string token) {
        fetch(std::move(token), [self = shared_from_this()](auto page) { self->arrived(std::move(page)); });
    }
    void arrived(Result<std::optional<controller::Page<std::string>>> page) {
        if (!page) return done(fail(page.error()));
        if (!*page) return done(std::optional<std::vector<std::string>>());
        std::vector<std::string>& more = (*page)->items;
        if (more.empty()) return done(std::optional(std::move(items)));
        items.insert(items.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
        next(std::move((*page)->token));
    }

    FetchPage fetch;
    ListDone done;
    std::vector<std::string> items;
};

}  // namespace

void collect_pages(FetchPage fetch, ListDone done) {
    auto collection = std::make_shared<Collection>();
    collection->fetch = std::move(fetch);
    collection->done = std::move(done);
    collection->next("");
}

}  // namespace millrace::rest
