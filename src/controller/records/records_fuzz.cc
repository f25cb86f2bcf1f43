// Any bytes may stand where a record should: the decoders answer, and what they take is what they would write.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "controller/page_token.h"
#include "controller/records/epoch_record.h"
#include "controller/records/group_record.h"
#include "controller/records/last_number_record.h"
#include "controller/records/marker_entries.h"
#include "controller/records/retention_records.h"
#include "controller/records/scope_record.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/stream_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/table_record.h"
#include "controller/records/transaction_record.h"
#include "controller/records/watermark_record.h"
#include "controller/records/writer_record.h"

using namespace millrace::controller;

template <typename Record>
void decode(std::string_view bytes) {
    auto record = Record::decode(bytes);
    if (record && record->encode() != bytes) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    decode<ScopeRecord>(bytes);
    decode<StreamRecord>(bytes);
    decode<EpochRecord>(bytes);
    decode<SealedSegmentRecord>(bytes);
    decode<LastNumberRecord>(bytes);
    decode<GroupRecord>(bytes);
    decode<SubscriberRecord>(bytes);
    decode<SampleRecord>(bytes);
    decode<WatermarkRecord>(bytes);
    decode<WriterRecord>(bytes);
    auto retained = RetainedEntry::parse(bytes);
    if (retained && RetainedEntry::key(*retained) != bytes) std::abort();
    WriterRecord::stream_of(bytes);
    decode<TableRecord>(bytes);
    decode<TransactionRecord>(bytes);
    decode<CompletedTransactionRecord>(bytes);
    decode<TransactionCounterRecord>(bytes);
    auto txn = TransactionRecord::parse_key(bytes);
    if (txn && TransactionRecord::key(txn->stream, txn->id) != bytes) std::abort();
    auto completed = CompletedTransactionRecord::parse_key(bytes);
    if (completed && CompletedTransactionRecord::key(completed->stream, completed->id) != bytes) std::abort();
    auto entry = PendingEntry::parse(bytes);
    if (entry && entry->key() != bytes) std::abort();
    auto name = last_name_of(bytes);
    if (name && !bytes.empty() && page_token(*name) != bytes) std::abort();
    return 0;
}
