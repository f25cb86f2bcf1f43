// Collects the pages of one of the controller's listings into one list: the REST API knows no pages.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "controller/types.h"
#include "runtime/executor.h"

namespace millrace::rest {

// No value: what holds the list does not exist.
using PageDone = runtime::Callback<Result<std::optional<controller::Page<std::string>>>>;
using FetchPage = std::move_only_function<void(std::string token, PageDone done)>;
using ListDone = runtime::Callback<Result<std::optional<std::vector<std::string>>>>;

// Asks for page after page, beginning with the empty token, until one is empty. `done` runs where the last page
// arrives.
void collect_pages(FetchPage fetch, ListDone done);

}  // namespace millrace::rest
