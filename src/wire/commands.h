// All commands, by direction.
#pragma once

#include <concepts>
#include <variant>

#include "wire/commands_append.h"
#include "wire/commands_error.h"
#include "wire/commands_segment.h"
#include "wire/commands_table.h"

namespace millrace::wire {

template <typename C>
concept Command = requires {
    { C::kType } -> std::convertible_to<CommandType>;
};

// Client to server.
using Request = std::variant<
    Hello, KeepAlive, Padding,                                                                             // connection
    SetupAppend, AppendBlock, AppendBlockEnd, ConditionalAppend, ConditionalBlockEnd,                      // appends
    ReadSegment, GetStreamSegmentInfo, CreateSegment, CreateTransientSegment, SealSegment, DeleteSegment,  // segments
    UpdateSegmentPolicy, TruncateSegment, LocateOffset, GetSegmentAttribute, UpdateSegmentAttribute,       //
    MergeSegments, MergeSegmentsBatch,                                                                     //
    GetTableSegmentInfo, CreateTableSegment, DeleteTableSegment, UpdateTableEntries, RemoveTableKeys,      // tables
    ReadTable, ReadTableKeys, ReadTableEntries, ReadTableEntriesDelta,                                     //
    FlushToStorage, ListStorageChunks>;  // administration

// Server to client.
using Reply = std::variant<
    Hello, KeepAlive,                                                                                     // connection
    AppendSetup, DataAppended, ConditionalCheckFailed,                                                    // appends
    SegmentRead, StreamSegmentInfo, SegmentCreated, SegmentSealed, SegmentDeleted, SegmentPolicyUpdated,  // segments
    SegmentTruncated, OffsetLocated, SegmentAttribute, SegmentAttributeUpdated, SegmentsMerged,           //
    SegmentsBatchMerged,                                                                                  //
    TableSegmentInfo, TableEntriesUpdated, TableKeysRemoved, TableRead, TableKeysRead, TableEntriesRead,  // tables
    TableEntriesDeltaRead,                                                                                //
    FlushedToStorage, StorageChunksListed,  // administration
    WrongHost, SegmentIsSealed, SegmentAlreadyExists, NoSuchSegment, InvalidEventNumber, SegmentIsTruncated,  // errors
    OperationUnsupported, AuthTokenCheckFailed, ErrorMessage, TableSegmentNotEmpty, TableKeyDoesNotExist,     //
    TableKeyBadVersion>;

}  // namespace millrace::wire
