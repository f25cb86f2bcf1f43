// Any bytes as a reply. What is read must be read again the same when it is written in its plainest form.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "lts/s3/xml.h"

namespace millrace::lts {
namespace {

void write(const XmlElement& element, std::string& out) {
    out += "<" + element.name + ">" + xml_escape(element.text);
    for (const XmlElement& child : element.children) write(child, out);
    out += "</" + element.name + ">";
}

bool same(const XmlElement& a, const XmlElement& b) {
    if (a.name != b.name || a.text != b.text || a.children.size() != b.children.size()) return false;
    for (std::size_t i = 0; i < a.children.size(); ++i) {
        if (!same(a.children[i], b.children[i])) return false;
    }
    return true;
}

}  // namespace
}  // namespace millrace::lts

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace millrace::lts;
    auto root = parse_xml({reinterpret_cast<const char*>(data), size});
    if (!root) return 0;
    std::string text;
    write(*root, text);
    auto again = parse_xml(text);
    MILLRACE_ASSERT(again && same(*root, *again));
    return 0;
}
