// Groups: reader groups and the subscriptions to streams that some of them hold. As with streams, every change is an
// intent that is carried to its end. A group's subscriptions may lie in other scopes, hence with other streams' locks.
// Executor thread only.
#pragma once

#include "controller/streams.h"

namespace millrace::controller {

class Groups {
  public:
    Groups(Context& context, Streams& streams) : context_(context), streams_(streams) {}

    Async<CreateReaderGroupResult> create(std::string scope, std::string group, ReaderGroupConfig config);
    Async<UpdateReaderGroupResult> update(std::string scope, std::string group, ReaderGroupConfig config);
    Async<DeleteReaderGroupStatus> remove(std::string scope, std::string group, std::optional<Uuid> only_id);
    Async<UpdateSubscriberStatus> report(SubscriberCut cut);

    Async<> finish(std::string scope, std::string group);  // whatever it has under way

  private:
    // A group by name with the lock held, and its record.
    struct Group {
        Group(std::string s, std::string n, Stored<GroupRecord> r)
            : scope(std::move(s)), name(std::move(n)), stored(std::move(r)) {}
        std::string scope;
        std::string name;
        Stored<GroupRecord> stored;
        std::string subscriber() const { return scope + "/" + name; }
        PendingEntry pending() const { return {PendingEntry::Kind::kGroup, scope, name}; }
    };

    Async<Found<GroupRecord>> settled(std::string scope, std::string group);
    Async<> carry_on(Group group);
    Async<> carry_on_creating(Group group);
    Async<> carry_on_updating(Group group);
    Async<> carry_on_deleting(Group group);

    Async<bool> begin_creation(Group group);  // false: no such scope
    Async<bool> has_streams_to_subscribe(ReaderGroupConfig config);
    Async<> subscribe(StreamName stream, std::string subscriber, std::int64_t generation, Uuid id, StreamCut start);
    Async<> unsubscribe(StreamName stream, std::string subscriber, Uuid id);
    Async<bool> is_cut_acceptable(StreamName stream, StreamRecord record, StreamCut previous, StreamCut cut);

    Context& context_;
    Streams& streams_;
};

}  // namespace millrace::controller
