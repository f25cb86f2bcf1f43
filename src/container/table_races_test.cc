// Reads of tables that are under way in the state while the tables change.
#include "container/table_harness.h"

namespace millrace::container {
namespace {

ContainerOptions every_change_is_saved() {
    ContainerOptions options;
    options.state.marked_max = 1;
    return options;
}

struct TableRaces : SlowTable {
    TableRaces() : SlowTable(every_change_is_saved()) {
        EXPECT_EQ(h.update("t", {item("a", "1"), item("b", "2"), item("c", "3")}), (Versions{0, 19, 38}));
    }
    // Until the state has what is there, and memory has none of it.
    void settle() {
        EXPECT_TRUE(h.create("stir" + std::to_string(++stirred_)));
        EXPECT_TRUE(h.create("stir" + std::to_string(++stirred_)));
    }
    void start_get(std::vector<std::string> keys) {
        store->hold = true;
        container().tables().get("t", std::move(keys),
                                 [this](Result<std::vector<TableEntry>> r) { got = std::move(r); });
        h.executor.run_until_idle();
        EXPECT_FALSE(got) << "it waits for the state";
        store->hold = false;  // what comes later does not
    }
    SegmentContainer& container() { return *h.container; }

    std::optional<Result<std::vector<TableEntry>>> got;

  private:
    int stirred_ = 0;
};

TEST_F(TableRaces, AReadOfSeveralKeysDuringAChangeOfOneOfThem) {
    settle();
    start_get({"a", "b", "none", "c"});
    container().tables().update("t", {{item("a", "new")}, kAnyTableLength}, [](const Result<Versions>&) {});
    h.executor.run_until_idle();
    store->release();
    h.executor.run_until_idle();
    ASSERT_TRUE(got && *got);
    std::string text = TableHarness::print(**got);
    EXPECT_TRUE(text == "a=1@0 b=2@19 none=@-1 c=3@38" || text == "a=new@57 b=2@19 none=@-1 c=3@38") << text;
}

TEST_F(TableRaces, AReadDuringTheDeletionOfItsTable) {
    settle();
    EXPECT_EQ(h.update("t", {item("b", "new")}), Versions{57});  // memory knows this one
    start_get({"a", "b", "c"});
    container().remove("t", [](const Result<>&) {});
    h.executor.run_until_idle();
    store->release();
    h.executor.run_until_idle();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->error(), Errc::kNotFound);
}

}  // namespace
}  // namespace millrace::container
