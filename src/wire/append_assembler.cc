#include "wire/append_assembler.h"

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bytes/binary.h"
#include "wire/limits.h"

namespace millrace::wire {
namespace {

std::unexpected<Error> violation(CommandType type, std::string_view what) {
    return fail(Errc::kInvalidArgument, fmt::format("{}: {}", to_string(type), what));
}

// The frame that fills the rest of a block.
struct Nested {
    CommandType type{};
    bytes::ByteSpan data;
};

Result<Nested> parse_nested(bytes::ByteSpan tail) {
    constexpr CommandType kEnd = CommandType::kAppendBlockEnd;
    if (tail.size() < kFrameHeaderBytes) return violation(kEnd, "the block ends in bytes that are no frame");
    auto code = bytes::load_be<std::int32_t>(tail.data());
    auto length = bytes::load_be<std::int32_t>(tail.data() + 4);
    auto type = static_cast<CommandType>(code);
    if (type != CommandType::kPartialEvent && type != CommandType::kPadding) {
        return violation(kEnd, "the block ends in a frame that is neither PARTIAL_EVENT nor PADDING");
    }
    bytes::ByteSpan rest = tail.subspan(kFrameHeaderBytes);
    if (length < 0 || static_cast<std::size_t>(length) > rest.size()) {
        return violation(kEnd, "the frame that ends the block runs beyond it");
    }
    return Nested{type, rest.first(static_cast<std::size_t>(length))};
}

}  // namespace

Result<> AppendAssembler::on_setup_append(const SetupAppend& setup, std::uint64_t target) {
    if (auto alone = expect_no_block(SetupAppend::kType); !alone) return alone;
    bool known = targets_.contains(setup.writer_id);
    if (!known && targets_.size() >= kMaxWritersPerConnection) {
        return fail(Errc::kLimit, "SETUP_APPEND: too many writers on one connection");
    }
    cached_ = nullptr;
    targets_[setup.writer_id] = Target{target, 0};
    return {};
}

void AppendAssembler::forget(const Uuid& writer_id) {
    cached_ = nullptr;
    targets_.erase(writer_id);
}

Result<> AppendAssembler::on_append_block(const AppendBlock& block) {
    if (auto alone = expect_no_block(AppendBlock::kType); !alone) return alone;
    if (find(block.writer_id) == nullptr) return violation(AppendBlock::kType, "the writer was not set up");
    block_ = block;
    return {};
}

Result<AssembledAppend> AppendAssembler::on_append_block_end(const AppendBlockEnd& end) {
    Target* target = find(end.writer_id);
    if (target == nullptr) return violation(AppendBlockEnd::kType, "the writer was not set up");
    if (end.num_events <= 0) return violation(AppendBlockEnd::kType, "holds no events");
    if (end.last_event_number < target->last_event_number) {
        return violation(AppendBlockEnd::kType, "event number below the one before");
    }
    AssembledAppend append;
    if (!block_) {
        append.add_piece(end.data);  // sizeOfWholeEvents means nothing without a block
    } else if (auto added = add_block_data(end, append); !added) {
        return fail(std::move(added.error()));
    }
    target->last_event_number = end.last_event_number;
    block_.reset();
    append.target = target->tag;
    append.writer_id = end.writer_id;
    append.event_number = end.last_event_number;
    append.num_events = end.num_events;
    append.request_id = end.request_id;
    return append;
}

Result<> AppendAssembler::add_block_data(const AppendBlockEnd& end, AssembledAppend& append) const {
    if (block_->writer_id != end.writer_id) return violation(AppendBlockEnd::kType, "ends the block of another writer");
    bytes::ByteSpan block = block_->data;
    if (end.size_of_whole_events < 0 || static_cast<std::size_t>(end.size_of_whole_events) > block.size()) {
        return violation(AppendBlockEnd::kType, "more whole events than the block holds");
    }
    auto whole = static_cast<std::size_t>(end.size_of_whole_events);
    append.add_piece(block.first(whole));
    if (whole == block.size()) return {};  // a full block: data in its end is dropped, as the reference server does

    auto nested = parse_nested(block.subspan(whole));
    if (!nested) return fail(std::move(nested.error()));
    if (nested->type == CommandType::kPadding) {
        if (!end.data.empty()) return violation(AppendBlockEnd::kType, "data after a padded block");
        return {};
    }
    append.add_piece(nested->data);
    append.add_piece(end.data);
    return {};
}

Result<AssembledAppend> AppendAssembler::on_conditional_append(const ConditionalAppend& append) {
    return conditional(ConditionalAppend::kType, append.writer_id, append.event_number, append.expected_offset,
                       append.request_id, append.stored);
}

Result<AssembledAppend> AppendAssembler::on_conditional_block_end(const ConditionalBlockEnd& append) {
    return conditional(ConditionalBlockEnd::kType, append.writer_id, append.event_number, append.expected_offset,
                       append.request_id, append.data);
}

Result<AssembledAppend> AppendAssembler::conditional(CommandType type, const Uuid& writer_id, std::int64_t event_number,
                                                     std::int64_t expected_offset, std::int64_t request_id,
                                                     bytes::ByteSpan data) {
    if (auto alone = expect_no_block(type); !alone) return fail(std::move(alone.error()));
    Target* target = find(writer_id);
    if (target == nullptr) return violation(type, "the writer was not set up");
    if (event_number < target->last_event_number) return violation(type, "event number below the one before");
    target->last_event_number = event_number;

    AssembledAppend append;
    append.target = target->tag;
    append.writer_id = writer_id;
    append.event_number = event_number;
    append.num_events = 1;
    append.expected_offset = expected_offset < 0 ? kNoCondition : expected_offset;
    append.request_id = request_id;
    append.conditional = true;
    append.add_piece(data);
    return append;
}

Result<> AppendAssembler::on_other(CommandType type) {
    return type == CommandType::kKeepAlive ? Result<>() : expect_no_block(type);
}

std::optional<std::uint64_t> AppendAssembler::target_of(const Uuid& writer_id) const {
    auto found = targets_.find(writer_id);
    if (found == targets_.end()) return std::nullopt;
    return found->second.tag;
}

Result<> AppendAssembler::expect_no_block(CommandType type) const {
    if (!block_) return {};
    return violation(type, "inside an append block");
}

AppendAssembler::Target* AppendAssembler::find(const Uuid& writer_id) {
    if (cached_ != nullptr && cached_id_ == writer_id) return cached_;
    auto found = targets_.find(writer_id);
    if (found == targets_.end()) return nullptr;
    cached_id_ = writer_id;
    cached_ = &found->second;
    return cached_;
}

}  // namespace millrace::wire
