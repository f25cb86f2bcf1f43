// Every kind of record, for whoever treats all of them alike: tests, fuzzers, tools that print a state.
#pragma once

#include "container/state/attribute_record.h"
#include "container/state/counters_record.h"
#include "container/state/doomed_record.h"
#include "container/state/internal_entry_record.h"
#include "container/state/manifest_record.h"
#include "container/state/merged_name_record.h"
#include "container/state/name_record.h"
#include "container/state/object_record.h"
#include "container/state/segment_record.h"
#include "container/state/store_records.h"
#include "container/state/table_entry_record.h"
#include "container/state/table_version_record.h"
#include "container/state/transient_record.h"

namespace millrace::container::state {

// Calls f.operator()<Record>() for each.
template <typename F>
void for_each_record_type(F f) {
    f.template operator()<IdentityRecord>();
    f.template operator()<AppliedRecord>();
    f.template operator()<AttributeRecord>();
    f.template operator()<CountersRecord>();
    f.template operator()<DoomedRecord>();
    f.template operator()<MergedNameRecord>();
    f.template operator()<InternalEntryRecord>();
    f.template operator()<ManifestRecord>();
    f.template operator()<NameRecord>();
    f.template operator()<ObjectRecord>();
    f.template operator()<SegmentRecord>();
    f.template operator()<TableEntryRecord>();
    f.template operator()<TableVersionRecord>();
    f.template operator()<TransientRecord>();
}

}  // namespace millrace::container::state
