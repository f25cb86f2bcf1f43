// The coroutine type of this room: every step ends in a Result. For .cc files and headers that only they include. House
// rule: no capturing lambda and no braced temporary inside an expression with co_await.
#pragma once

#include <utility>

#include "base/error.h"
#include "runtime/async.h"

namespace millrace::lts {

template <typename T = void>
using Async = boost::asio::awaitable<Result<T>>;

// Hands the result of `work` to the caller's completion, on the executor that it was spawned on.
template <typename T>
boost::asio::awaitable<void> deliver(Async<T> work, runtime::Callback<Result<T>> done) {
    Result<T> result = co_await std::move(work);
    done(std::move(result));
}

}  // namespace millrace::lts
