// The clients of one container: writers with sessions, readers, and those who make, change and remove segments and
// tables. Each operation goes to the container and to the model; each answer is compared with the model's.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "container/container.h"
#include "sim/model.h"

namespace millrace::sim {

// All that happened, as one number: two runs of a seed must agree.
class Trace {
  public:
    void add(std::string_view event);
    std::uint64_t hash() const { return hash_; }
    bool print = false;

  private:
    std::uint64_t hash_ = 0xcbf29ce484222325;
};

// The first thing that was wrong.
class Verdict {
  public:
    void violated(std::string what) {
        if (!first_) first_ = std::move(what);
    }
    const std::optional<std::string>& first() const { return first_; }

  private:
    std::optional<std::string> first_;
};

struct ClientCounts {
    std::uint64_t operations = 0;
    std::uint64_t answers = 0;
    std::uint64_t refused_full = 0;
    std::uint64_t resent = 0;
    std::uint64_t reads = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t unknown_survived = 0;  // operations whose answer was lost and that had happened
    std::uint64_t unknown_lost = 0;
};

class Client final : private container::AppendSink {
  public:
    // `one_by_one`: the log may get full, and what frees space then overtakes: no two operations whose order would
    // matter are under way at once.
    Client(std::uint32_t index, Random& random, Trace& trace, Verdict& verdict, ClientCounts& counts, bool one_by_one);

    void attach(container::SegmentContainer& container);  // a node has recovered: which of the allowed states is it?
    void detach();                                        // the node has gone; callbacks that still come are not heard
    bool idle() const { return model_.pending() == 0; }
    std::string first_pending();

    void act();
    void read();
    void check();                // what the container shows is what was acknowledged
    bool storage_fails = false;  // reads may be refused
    // Reads everything, from every start; `run` lets the node work. For the end.
    void read_all(const std::function<void()>& run);

  private:
    static constexpr std::array kMetadataKeys = {"m0", "m1", "m2", "m3"};
    static constexpr std::array<Uuid, 3> kAttributes = {{{7, 1}, {7, 2}, {7, 3}}};
    static bool is_table_name(const std::string& name) { return name == "t" || name == "f"; }

    struct Session {
        container::AppendSession session;
        std::shared_ptr<std::string> content;  // of the segment it was set up for
        std::size_t writer = 0;
        bool failed = false;
        std::int64_t last_stored = kNullAttribute;
        std::deque<std::uint64_t> under_way;
    };
    struct Writer {
        Uuid id;
        std::string segment;
        Session* session = nullptr;
        bool connecting = false;
        std::shared_ptr<std::string> content;  // that `unacknowledged` is for
        std::deque<std::pair<std::int64_t, std::string>> unacknowledged;
        std::size_t sent = 0;  // of these, in this session
        std::int64_t last = 0;
    };

    void on_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t dropped_bytes) override;

    void connect(Writer& writer);
    void connected(Writer& writer, Session& session, std::uint64_t number, const Result<std::int64_t>& last);
    void append(Writer& writer, bool conditional);
    void add_request(container::AppendBatch& batch, Session& session, std::int64_t number, const std::string& data,
                     std::int64_t expected_offset);
    void change_segment();
    void change_table(const std::string& table);
    void change_metadata();
    std::vector<AttributeUpdate> some_updates(const std::string& name);
    std::string some_name() { return names_[random_.below(names_.size())]; }
    std::string some_bytes(std::size_t most);

    std::uint64_t send(Operation operation);
    void answered(std::uint64_t number, Answer got, const std::string& text);
    template <typename T>
    auto answer_to(std::uint64_t number);  // what is called with the answer
    void check_read(const std::string& name, const std::shared_ptr<std::string>& content, std::uint64_t offset,
                    bool must_have, const Result<container::ReadResult>& read);
    using Comparison = std::function<std::optional<std::string>(const ContainerState&)>;
    struct Asked {
        std::vector<std::shared_ptr<const ContainerState>> states;  // durable ones since then
    };
    std::shared_ptr<Asked> ask_now();
    void durable_changed();
    void expect_shown_since(const std::shared_ptr<Asked>& asked, const Comparison& comparison);
    void read_table(const std::string& name);
    void show(const std::function<void(Comparison)>& give, std::size_t* expected);
    std::string label() const;

    const std::uint32_t index_;
    Random& random_;
    Trace& trace_;
    Verdict& verdict_;
    ClientCounts& counts_;
    const bool one_by_one_;
    container::SegmentContainer* container_ = nullptr;
    ContainerModel model_;
    std::vector<std::weak_ptr<Asked>> asked_;
    std::uint64_t life_ = 0;
    std::vector<std::string> names_;
    std::vector<Writer> writers_;
    std::deque<std::unique_ptr<Session>> sessions_;
    std::uint64_t letters_ = 0;
    std::size_t waiting_reads_ = 0;
    bool control_under_way_ = false;
    std::string table_under_way_;  // that is being updated
    std::size_t tables_under_way_ = 0;
};

template <typename T>
auto Client::answer_to(std::uint64_t number) {
    return [this, number, life = life_](const Result<T>& result) {
        if (life != life_) return;
        Answer got;
        if (!result) {
            got = {result.error().code(), result.error().value()};
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
            got.value = *result;
        }
        answered(number, got, result ? "" : result.error().to_string());
    };
}

}  // namespace millrace::sim
