#include "lts/s3/xml.h"

#include <gtest/gtest.h>

namespace millrace::lts {
namespace {

TEST(Xml, ReadsAListing) {
    auto root = parse_xml(
        "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a > comment -->"
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Name>b</Name><Prefix/>"
        "<Contents><Key>a&amp;b&lt;&#x41;&#66;&gt;&quot;&apos;</Key><Size>12</Size></Contents>"
        "<Contents><Key><![CDATA[x<y&z]]></Key></Contents><IsTruncated>false</IsTruncated></ListBucketResult >\n");
    ASSERT_TRUE(root.has_value()) << root.error().to_string();
    EXPECT_EQ(root->name, "ListBucketResult");
    EXPECT_EQ(root->text_of("Name"), "b");
    ASSERT_NE(root->child("Prefix"), nullptr);
    EXPECT_EQ(root->text_of("Prefix"), "");
    EXPECT_EQ(root->child("Contents")->text_of("Key"), "a&b<AB>\"'");
    EXPECT_EQ(root->child("Contents")->text_of("Size"), "12");
    EXPECT_EQ(root->children[3].text_of("Key"), "x<y&z");
    EXPECT_EQ(root->child("Nothing"), nullptr);
    EXPECT_EQ(root->text_of("Nothing"), "");
}

TEST(Xml, AttributesAndPrefixesArePassedOver) {
    auto root = parse_xml("<s3:Error a='x>y' b=\"/>\"><s3:Code>NoSuchKey</s3:Code><Empty a='1'/></s3:Error>");
    ASSERT_TRUE(root.has_value());
    EXPECT_EQ(root->name, "Error");
    EXPECT_EQ(root->text_of("Code"), "NoSuchKey");
}

TEST(Xml, RefusesWhatIsNotWellFormed) {
    for (std::string_view text : {"",
                                  "   ",
                                  "text",
                                  "<a>",
                                  "<a></b>",
                                  "<a><b></a></b>",
                                  "<a>&unknown;</a>",
                                  "<a>&amp</a>",
                                  "<a>&#0;</a>",
                                  "<a>&#xd800;</a>",
                                  "<a>&#x110000;</a>",
                                  "<a>&#;</a>",
                                  "<a/><b/>",
                                  "<a/>text",
                                  "<!DOCTYPE a><a/>",
                                  "<a b='>",
                                  "<a",
                                  "</a>",
                                  "<>x</>",
                                  "<a><![CDATA[x</a>",
                                  "<a><!-- </a>",
                                  "<![CDATA[x]]>",
                                  "x<a/>",
                                  "<a / b></a>"}) {
        auto root = parse_xml(text);
        ASSERT_FALSE(root.has_value()) << text;
        EXPECT_EQ(root.error(), Errc::kCorrupt) << text;
    }
}

TEST(Xml, DepthAndNumberAreBounded) {
    std::string open, close;
    for (std::size_t i = 0; i < kXmlDepthMax; ++i) {
        open += "<a>";
        close += "</a>";
    }
    EXPECT_TRUE(parse_xml(open + close).has_value());
    EXPECT_FALSE(parse_xml(open + "<a/>" + close).has_value());
    std::string many = "<r>";
    for (std::size_t i = 0; i < kXmlElementsMax - 1; ++i) many += "<a/>";
    EXPECT_TRUE(parse_xml(many + "</r>").has_value());
    EXPECT_FALSE(parse_xml(many + "<a/></r>").has_value());
}

TEST(Xml, EscapedTextReadsBack) {
    std::string text = "a<b>&\"'\xc3\xbc";
    auto root = parse_xml("<t>" + xml_escape(text) + "</t>");
    ASSERT_TRUE(root.has_value());
    EXPECT_EQ(root->text, text);
}

}  // namespace
}  // namespace millrace::lts
