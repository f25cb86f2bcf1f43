#include "lts/s3/xml.h"

#include <charconv>
#include <cstdint>

namespace millrace::lts {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }
bool ends_name(char c) { return is_blank(c) || c == '>' || c == '/' || c == '<' || c == '='; }

void append_utf8(std::uint32_t code, std::string& out) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x1'0000) {
        out += static_cast<char>(0xe0 | code >> 12);
        out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | code >> 18);
        out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
        out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

// `name` without & and ;.
bool append_entity(std::string_view name, std::string& out) {
    if (name == "amp") return out += '&', true;
    if (name == "lt") return out += '<', true;
    if (name == "gt") return out += '>', true;
    if (name == "quot") return out += '"', true;
    if (name == "apos") return out += '\'', true;
    if (!name.starts_with('#')) return false;
    name.remove_prefix(1);
    bool hex = name.starts_with('x');
    if (hex) name.remove_prefix(1);
    std::uint32_t code = 0;
    auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), code, hex ? 16 : 10);
    bool surrogate = code >= 0xd800 && code < 0xe000;
    if (error != std::errc() || stop != name.data() + name.size() || code == 0 || code > 0x10'ffff || surrogate)
        return false;
    append_utf8(code, out);
    return true;
}

class Parser {
  public:
    explicit Parser(std::string_view document) : rest_(document) {}

    Result<XmlElement> document() {
        while (failure_ == nullptr && !finished_) {
            if (rest_.empty())
                fail_with("the document ends early");
            else if (rest_.front() == '<')
                markup();
            else
                text();
        }
        if (failure_ == nullptr) trailer();
        if (failure_ != nullptr) return fail(Errc::kCorrupt, std::string("XML reply: ") + failure_);
        return std::move(root_);
    }

  private:
    void fail_with(const char* why) {
        if (failure_ == nullptr) failure_ = why;
    }

    // Passes over everything up to and with `end`.
    std::string_view until(std::string_view end) {
        std::size_t at = rest_.find(end);
        if (at == std::string_view::npos) {
            fail_with("markup is not closed");
            return {};
        }
        std::string_view passed = rest_.substr(0, at);
        rest_.remove_prefix(at + end.size());
        return passed;
    }

    void markup() {
        if (rest_.starts_with("<?")) {
            until("?>");
        } else if (rest_.starts_with("<!--")) {
            rest_.remove_prefix(4);
            until("-->");
        } else if (rest_.starts_with("<![CDATA[")) {
            rest_.remove_prefix(9);
            std::string_view raw = until("]]>");
            if (open_.empty()) return fail_with("text outside of the element");
            open_.back()->text += raw;
        } else if (rest_.starts_with("<!")) {
            fail_with("a document type is not accepted");
        } else if (rest_.starts_with("</")) {
            end_tag();
        } else {
            start_tag();
        }
    }

    std::string_view tag_name() {
        std::size_t size = 0;
        while (size < rest_.size() && !ends_name(rest_[size])) ++size;
        std::string_view name = rest_.substr(0, size);
        rest_.remove_prefix(size);
        if (std::size_t colon = name.rfind(':'); colon != std::string_view::npos) name.remove_prefix(colon + 1);
        if (name.empty() || !begins_name(name.front())) fail_with("an element without a name");
        return name;
    }

    void start_tag() {
        rest_.remove_prefix(1);
        std::string_view name = tag_name();
        bool closed = pass_attributes();
        if (failure_ != nullptr) return;
        if (open_.size() >= kXmlDepthMax) return fail_with("nested too deep");
        if (++elements_ > kXmlElementsMax) return fail_with("too many elements");
        XmlElement* element = &root_;
        if (!open_.empty()) element = &open_.back()->children.emplace_back();
        element->name = name;
        // A parent's list grows only while none of its children is open, so the pointers on the stack stay valid.
        if (!closed)
            open_.push_back(element);
        else if (open_.empty())
            finished_ = true;
    }

    // True when the tag is its own end: "<a/>".
    bool pass_attributes() {
        while (!rest_.empty()) {
            char c = rest_.front();
            rest_.remove_prefix(1);
            if (c == '>') return false;
            if (c == '/') {
                if (rest_.starts_with('>')) return rest_.remove_prefix(1), true;
                break;
            }
            if (c == '<') break;
            if (c == '"') until("\"");
            if (c == '\'') until("'");
        }
        fail_with("a tag is not closed");
        return false;
    }

    void end_tag() {
        rest_.remove_prefix(2);
        std::string_view name = tag_name();
        while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
        if (!rest_.starts_with('>')) return fail_with("a tag is not closed");
        rest_.remove_prefix(1);
        if (open_.empty() || open_.back()->name != name) return fail_with("tags do not match");
        open_.pop_back();
        finished_ = open_.empty();
    }

    void text() {
        std::string_view raw = rest_.substr(0, rest_.find('<'));
        rest_.remove_prefix(raw.size());
        if (open_.empty()) {
            for (char c : raw) {
                if (!is_blank(c) && !is_mark(c)) return fail_with("text outside of the element");
            }
            return;
        }
        std::string& out = open_.back()->text;
        while (!raw.empty()) {
            std::size_t at = raw.find('&');
            out += raw.substr(0, at);
            if (at == std::string_view::npos) return;
            raw.remove_prefix(at + 1);
            std::size_t end = raw.find(';');
            if (end == std::string_view::npos || !append_entity(raw.substr(0, end), out))
                return fail_with("an unknown entity");
            raw.remove_prefix(end + 1);
        }
    }

    // The byte order mark of UTF-8.
    static bool is_mark(char c) { return c == '\xef' || c == '\xbb' || c == '\xbf'; }

    void trailer() {
        while (failure_ == nullptr && !rest_.empty()) {
            if (is_blank(rest_.front()))
                rest_.remove_prefix(1);
            else if (rest_.starts_with("<!--") || rest_.starts_with("<?"))
                markup();
            else
                fail_with("something follows the document");
        }
    }

    std::string_view rest_;
    XmlElement root_;
    std::vector<XmlElement*> open_;
    std::size_t elements_ = 0;
    bool finished_ = false;
    const char* failure_ = nullptr;
};

}  // namespace

const XmlElement* XmlElement::child(std::string_view wanted) const {
    for (const XmlElement& element : children) {
        if (element.name == wanted) return &element;
    }
    return nullptr;
}

std::string_view XmlElement::text_of(std::string_view wanted) const {
    const XmlElement* element = child(wanted);
    return element == nullptr ? std::string_view() : std::string_view(element->text);
}

Result<XmlElement> parse_xml(std::string_view document) { return Parser(document).document(); }

std::string xml_escape(std::string_view text) {
    std::string result;
    for (char c : text) {
        if (c == '&')
            result += "&amp;";
        else if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '"')
            result += "&quot;";
        else
            result += c;
    }
    return result;
}

}  // namespace millrace::lts
