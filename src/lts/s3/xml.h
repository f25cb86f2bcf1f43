// A reader of the small XML documents that S3 answers with. Bounded: depth, number of elements, and never more memory
// than a few times the input. No entities but the five of XML and numbers, no DTD; attributes and namespaces are passed
// over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace millrace::lts {

inline constexpr std::size_t kXmlDepthMax = 16;
inline constexpr std::size_t kXmlElementsMax = 50'000;

struct XmlElement {
    std::string name;  // without the namespace's prefix
    std::string text;  // of this element alone, entities resolved
    std::vector<XmlElement> children;

    const XmlElement* child(std::string_view wanted) const;   // the first of this name
    std::string_view text_of(std::string_view wanted) const;  // of that child; empty when there is none
};

// The document's element. kCorrupt for anything that is not well-formed, or above the limits.
Result<XmlElement> parse_xml(std::string_view document);

std::string xml_escape(std::string_view text);

}  // namespace millrace::lts
