#include "controller/records/autoscale_record.h"

#include <cmath>

#include "controller/names.h"

namespace millrace::controller {

std::string AutoscaleRecord::key(const StreamName& name) { return std::string(kPrefix) + to_string(name); }

std::optional<StreamName> AutoscaleRecord::name_of(std::string_view key) {
    if (!key.starts_with(kPrefix)) return std::nullopt;
    return parse_scoped_name(key.substr(kPrefix.size()));
}

std::string AutoscaleRecord::encode() const {
    RecordWriter out;
    out.count(inherited.size());
    for (const auto& [number, rate] : inherited) {
        out.i32(number);
        out.f64(rate);
    }
    return out.take();
}

Result<AutoscaleRecord> AutoscaleRecord::decode(std::string_view value) {
    RecordReader in(value);
    AutoscaleRecord record;
    std::size_t count = in.count(kListLimit, 12);
    std::int32_t last = -1;
    for (std::size_t i = 0; i < count; ++i) {
        std::int32_t number = in.i32();
        double rate = in.f64();
        if (number <= last || !(rate > 0) || !std::isfinite(rate)) in.fail();
        last = number;
        record.inherited.emplace_hint(record.inherited.end(), number, rate);
    }
    return in.finish(std::move(record), "autoscale");
}

}  // namespace millrace::controller
