// Scopes: their life. A scope that is being deleted takes nothing new; its groups, streams and tables go one after the
// other, then itself. Executor thread only.
#pragma once

#include "controller/groups.h"
#include "controller/key_value_tables.h"

namespace millrace::controller {

class Scopes {
  public:
    Scopes(Context& context, Streams& streams, Groups& groups, KeyValueTables& tables)
        : context_(context), streams_(streams), groups_(groups), tables_(tables) {}

    Async<CreateScopeStatus> create(std::string scope);
    Async<DeleteScopeStatus> remove(std::string scope);
    Async<DeleteScopeStatus> remove_recursively(std::string scope);

    Async<> finish(std::string scope);  // a deletion under way

  private:
    Async<bool> is_empty(std::string scope);
    Async<> carry_on_deleting(std::string scope);
    Async<> remove_groups(std::string scope);
    Async<> remove_streams(std::string scope);
    Async<> remove_tables(std::string scope);

    Context& context_;
    Streams& streams_;
    Groups& groups_;
    KeyValueTables& tables_;
};

}  // namespace millrace::controller
