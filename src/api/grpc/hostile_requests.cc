#include "api/grpc/hostile_requests.h"

#include <functional>
#include <limits>
#include <random>

#include "controller.pb.h"

namespace millrace::api {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

constexpr int kManyCutEntries = 70'000;  // more than a cut may have
constexpr int kSomeRepeated = 200;
constexpr int kMixedRequests = 60;

std::vector<std::string> hostile_texts() {
    using namespace std::string_literals;
    return {"",
            " ",
            "none",
            "a/b",
            "../../etc/passwd",
            "_",
            "__",
            "_system",
            "_MARKx",
            "_RGg",
            "_controller",
            "x_kvtable",
            ".",
            "..",
            "-",
            "a b",
            "a\nb",
            "a\0b"s,
            "\xff\xfe",
            "\xc3",
            "\xed\xa0\x80",
            "\xf0\x9f\x98\x80",
            "%s%n%x",
            "'; drop table streams; --",
            "s/x",
            "//",
            "$attributes.index",
            "0.#epoch.0",
            "00000000-0000-0000-0000-000000000000",
            "not-a-uuid",
            std::string(250, 'a'),
            std::string(251, 'a'),
            std::string(255, 'a'),
            std::string(256, 'a'),
            std::string(512, 'a'),
            std::string(513, 'a'),
            std::string(5000, 'a'),
            std::string(200'000, 'a')};
}

template <typename Int>
std::vector<Int> hostile_numbers() {
    constexpr Int kLeast = std::numeric_limits<Int>::min();
    constexpr Int kMost = std::numeric_limits<Int>::max();
    return {0, 1, -1, 2, -2, 7, 127, 10'001, 65'537, kMost, kMost - 1, kLeast, kLeast + 1, kMost / 2, kLeast / 2};
}

std::vector<double> hostile_doubles() {
    using Limits = std::numeric_limits<double>;
    return {0,
            1,
            -1,
            0.5,
            2,
            -0.0,
            1e308,
            Limits::min(),
            Limits::denorm_min(),
            Limits::infinity(),
            -Limits::infinity(),
            Limits::quiet_NaN()};
}

// One way to spoil a message.
using Spoil = std::function<void(Message&)>;

void add_spoils_of(const FieldDescriptor* field, std::vector<Spoil>& spoils) {
    auto add = [&](auto set) { spoils.push_back([set](Message& m) { set(m, *m.GetReflection()); }); };
    switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
            for (const std::string& text : hostile_texts()) {
                add([field, text](Message& m, const auto& r) {
                    if (field->is_repeated())
                        r.AddString(&m, field, text);
                    else
                        r.SetString(&m, field, text);
                });
            }
            break;
        case FieldDescriptor::CPPTYPE_INT32:
            for (std::int32_t n : hostile_numbers<std::int32_t>()) {
                add([field, n](Message& m, const auto& r) {
                    if (field->is_repeated())
                        r.AddInt32(&m, field, n);
                    else
                        r.SetInt32(&m, field, n);
                });
            }
            break;
        case FieldDescriptor::CPPTYPE_INT64:
            for (std::int64_t n : hostile_numbers<std::int64_t>()) {
                add([field, n](Message& m, const auto& r) {
                    if (field->is_repeated())
                        r.AddInt64(&m, field, n);
                    else
                        r.SetInt64(&m, field, n);
                });
            }
            break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
            for (double d : hostile_doubles()) {
                add([field, d](Message& m, const auto& r) {
                    if (field->is_repeated())
                        r.AddDouble(&m, field, d);
                    else
                        r.SetDouble(&m, field, d);
                });
            }
            break;
        case FieldDescriptor::CPPTYPE_ENUM:
            for (int n : {0, 1, 2, 3, 4, 5, 6, 99, -1, std::numeric_limits<int>::max()}) {
                add([field, n](Message& m, const auto& r) { r.SetEnumValue(&m, field, n); });
            }
            break;
        default:
            break;
    }
}

// A map of 64-bit numbers: in this protocol, a cut.
void add_spoils_of_map(const FieldDescriptor* field, std::vector<Spoil>& spoils) {
    const FieldDescriptor* key = field->message_type()->map_key();
    const FieldDescriptor* value = field->message_type()->map_value();
    if (key->cpp_type() != FieldDescriptor::CPPTYPE_INT64 || value->cpp_type() != FieldDescriptor::CPPTYPE_INT64)
        return;
    auto put = [field, key, value](Message& m, std::int64_t k, std::int64_t v) {
        Message* entry = m.GetReflection()->AddMessage(&m, field);
        entry->GetReflection()->SetInt64(entry, key, k);
        entry->GetReflection()->SetInt64(entry, value, v);
    };
    for (std::int64_t k : hostile_numbers<std::int64_t>()) {
        spoils.push_back([put, k](Message& m) { put(m, k, 0); });
        spoils.push_back([put, k](Message& m) { put(m, 0, k); });
        spoils.push_back([put, k](Message& m) { put(m, k, k); });
    }
    spoils.push_back([put](Message& m) {
        for (std::int64_t i = 0; i < kManyCutEntries; ++i) put(m, i, i);
    });
    spoils.push_back([put](Message& m) {
        for (std::int64_t i = 0; i < kSomeRepeated; ++i) put(m, i << 32 | i, -1);
    });
}

// All ways to spoil one field of a message, at whatever depth.
void add_spoils(const Descriptor* type, std::vector<Spoil>& spoils, int depth) {
    for (int i = 0; i < type->field_count(); ++i) {
        const FieldDescriptor* field = type->field(i);
        spoils.push_back([field](Message& m) { m.GetReflection()->ClearField(&m, field); });
        if (field->is_map()) {
            add_spoils_of_map(field, spoils);
            continue;
        }
        if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
            add_spoils_of(field, spoils);
            continue;
        }
        if (depth == 0) continue;
        std::vector<Spoil> inner;
        add_spoils(field->message_type(), inner, depth - 1);
        for (Spoil& spoil : inner) {
            spoils.push_back([field, spoil = std::move(spoil)](Message& m) {
                const auto* r = m.GetReflection();
                spoil(field->is_repeated() ? *r->AddMessage(&m, field) : *r->MutableMessage(&m, field));
            });
        }
        if (field->is_repeated()) {
            spoils.push_back([field](Message& m) {
                for (int n = 0; n < kSomeRepeated; ++n) m.GetReflection()->AddMessage(&m, field);
            });
        }
    }
}

// Names where names belong, and small numbers elsewhere.
void make_plausible(Message& m, int depth) {
    const auto* r = m.GetReflection();
    for (int i = 0; i < m.GetDescriptor()->field_count(); ++i) {
        const FieldDescriptor* field = m.GetDescriptor()->field(i);
        const std::string& name = field->name();
        if (field->is_map()) continue;
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
            if (depth > 0 && !field->is_repeated()) make_plausible(*r->MutableMessage(&m, field), depth - 1);
            if (depth > 0 && field->is_repeated()) make_plausible(*r->AddMessage(&m, field), depth - 1);
            continue;
        }
        if (field->is_repeated()) continue;
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) r->SetInt32(&m, field, 1);
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) r->SetInt64(&m, field, 0);
        if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
        if (name == "scope") r->SetString(&m, field, kHostileScope);
        if (name == "stream") r->SetString(&m, field, kHostileStream);
        if (name == "readerGroup" || name == "readerGroupName") r->SetString(&m, field, kHostileGroup);
        if (name == "kvtName") r->SetString(&m, field, kHostileTable);
        if (name == "readerGroupId") r->SetString(&m, field, "00000000-0000-0001-0000-000000000001");
        if (name == "subscriber") r->SetString(&m, field, "s/g");
        if (name == "writer" || name == "writerId" || name == "tag") r->SetString(&m, field, "w");
    }
}

std::string encoded(const Message& m) {
    std::string bytes;
    m.SerializePartialToString(&bytes);
    return bytes;
}

}  // namespace

const google::protobuf::ServiceDescriptor& controller_service() {
    namespace v1 = io::pravega::controller::stream::api::grpc::v1;
    return *v1::ScopeInfo::descriptor()->file()->FindServiceByName("ControllerService");
}

std::unique_ptr<Message> new_message(const Descriptor& type) {
    return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

std::vector<std::string> hostile_requests(const google::protobuf::MethodDescriptor& rpc, unsigned seed) {
    constexpr int kDepth = 3;
    auto plausible = new_message(*rpc.input_type());
    make_plausible(*plausible, kDepth);
    std::vector<Spoil> spoils;
    add_spoils(rpc.input_type(), spoils, kDepth);
    std::vector<std::string> requests = {"", encoded(*plausible)};
    auto copy = [&] {
        auto made = new_message(*rpc.input_type());
        made->CopyFrom(*plausible);
        return made;
    };
    for (const Spoil& spoil : spoils) {
        auto spoilt = copy();
        spoil(*spoilt);
        requests.push_back(encoded(*spoilt));
    }
    std::mt19937 random(seed);
    for (int i = 0; i < kMixedRequests && !spoils.empty(); ++i) {
        auto spoilt = copy();
        for (int n = 0; n < 4; ++n) spoils[random() % spoils.size()](*spoilt);
        requests.push_back(encoded(*spoilt));
    }
    requests.emplace_back("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    requests.emplace_back("\x0a\xff\xff\xff\xff\x07");  // a field that says it has 2 GiB
    requests.push_back(encoded(*plausible) + "\x0a");
    requests.push_back(encoded(*plausible).substr(0, encoded(*plausible).size() / 2));
    requests.emplace_back(1000, '\x0b');  // groups that never end
    return requests;
}

}  // namespace millrace::api
