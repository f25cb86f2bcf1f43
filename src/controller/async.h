// The coroutine type of this room: every step ends in a Result. Declarations only; the .cc files that await include
// runtime/async.h. House rule there: no capturing lambda and no braced temporary inside an expression with co_await.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/error.h"

namespace millrace::controller {

template <typename T = void>
using Async = boost::asio::awaitable<Result<T>>;

}  // namespace millrace::controller
