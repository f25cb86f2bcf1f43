#include "sim/simulation.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "base/units.h"
#include "container/object_format.h"

namespace millrace::sim {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kRoomy = std::uint64_t{1} << 40;
constexpr int kBootAttempts = 50;

std::uint64_t current_seed = 0;
std::uint64_t current_step = 0;

class Simulation {
  public:
    explicit Simulation(const SimulationOptions& options)
        : options_(options),
          random_(options.seed * 0x9e3779b97f4a7c15),
          executor_(options.seed),
          world_(options.seed ^ 0x5eed) {
        trace_.print = options.print_trace;
        world_.on_change = [this](std::string what) { trace_.add(what); };
        world_.sweep_too_early = options.planted == Planted::kEarlySweep;
        fills_ = options.planted == Planted::kNothing && random_.below(3) == 0;
        calmness_ = std::uint64_t{1} << random_.below(4);
        NodeOptions node = draw_options();
        for (std::uint32_t i = 0; i < node.containers; ++i) {
            clients_.push_back(std::make_unique<Client>(i, random_, trace_, verdict_, report_.clients, fills_));
        }
        node_ = std::make_unique<Node>(executor_, world_, std::move(node));
    }

    SimulationReport run() {
        boot(true);
        for (step_ = 1; step_ <= options_.steps && !verdict_.first(); ++step_) {
            current_step = step_;
            step();
        }
        if (!verdict_.first()) end();
        for (auto& client : clients_) client->detach();
        report_.violation = verdict_.first();
        report_.step = step_;
        report_.trace_hash = trace_.hash();
        return report_;
    }

  private:
    NodeOptions draw_options() {
        NodeOptions node;
        node.planted = options_.planted;
        node.containers = static_cast<std::uint32_t>(1 + random_.below(3));
        auto& c = node.container;
        c.frame_bytes = static_cast<std::uint32_t>(4096 + 4096 * random_.below(3));
        c.cache_bytes = (8 << 10) + random_.below(32 << 10);
        c.max_frames_in_flight = static_cast<std::uint32_t>(1 + random_.below(4));
        c.carry_bytes_per_file = 4 << 10;
        c.checkpoint_log_bytes = 3000 + random_.below(30'000);
        c.state.resident_segments = random_.below(6);
        if (random_.below(2) == 0) node.state_delay_max = milliseconds(1 + random_.below(80));
        c.state.marked_max = 1 + random_.below(60);
        c.state.batch_bytes = 200 + random_.below(4000);
        c.state.flush_bytes = 1000 + random_.below(30'000);
        c.tiering.flush_bytes = 2000 + random_.below(8000);
        c.tiering.flush_after = milliseconds(500 + random_.below(3000));
        c.tiering.chunk_bytes_min = 1000 + random_.below(3000);
        c.tiering.piece_bytes_min = 500 + random_.below(3000);
        c.tiering.round_bytes = 1000 + random_.below(100'000);
        c.tiering.object_bytes_max = 4000 + random_.below(8000);
        c.tiering.pieces_max = 2 + random_.below(5);
        c.tiering.shares_disk = random_.below(2) == 0;
        c.tiering.writers = static_cast<std::uint32_t>(1 + random_.below(3));
        c.tiering.reader.block_bytes = container::kObjectBlock;
        c.tiering.reader.cache_bytes = std::size_t{4} * container::kObjectBlock;
        auto& j = node.journal;
        j.directory = "/journal";
        j.file_bytes = 64 * kKiB;
        j.first_file_bytes = 32 * kKiB;
        j.limit_bytes = fills_ ? 256 * kKiB : 16 * kMiB;
        j.min_free_bytes = 0;
        j.max_write_bytes = (8 + random_.below(56)) * kKiB;
        j.max_payload_bytes = 24 * kKiB;
        j.max_in_flight = static_cast<std::uint32_t>(1 + random_.below(4));
        return node;
    }

    void boot(bool calm) {
        for (int attempt = 0; attempt < kBootAttempts; ++attempt) {
            // The next death may come in the middle of the recovery.
            if (!calm && random_.below(4) == 0) node_->disk().crash_at(1 + random_.below(60));
            auto booted = node_->boot();
            if (booted) {
                for (std::uint32_t i = 0; i < clients_.size() && !verdict_.first(); ++i) {
                    clients_[i]->attach(node_->container(i));
                }
                if (verdict_.first()) verdict_note();
                node_->disk().set_latency(milliseconds(calm ? 1 : 1 + random_.below(6)));
                return;
            }
            if (booted.error() == Errc::kNoSpace && !node_->crashed()) {
                // A full disk: somebody makes room.
                node_->disk().set_capacity(kRoomy);
            } else if (!node_->crashed()) {
                verdict_.violated(
                    fmt::format("the node does not recover: {} ({})", booted.error().to_string(), node_->last_crash()));
                return;
            }
            ++report_.kills_in_recovery;
            trace_.add("died in recovery");
            node_->kill(random_);
        }
        verdict_.violated("the node never gets up");
    }
    void verdict_note() { trace_.add("the crash before: " + node_->last_crash()); }

    void kill(bool calm = false) {
        ++report_.kills;
        trace_.add("kill");
        for (auto& client : clients_) client->detach();
        node_->kill(random_);
        boot(calm);
    }

    void step() {
        Client& client = *clients_[random_.below(clients_.size())];
        std::uint64_t what = random_.below(1000);
        bool deadly = what >= 978;
        if (deadly && random_.below(calmness_) != 0) what = 0;  // some seeds have long lives
        if (what < 520) {
            client.act();
        } else if (what < 640) {
            client.read();
        } else if (what < 760) {
            for (std::uint64_t n = random_.below(8); n > 0; --n) executor_.run_one();
        } else if (what < 850) {
            executor_.run_until_idle();
        } else if (what < 940) {
            advance(milliseconds(1 + random_.below(200)));
        } else if (what < 960) {
            advance(milliseconds(500 + random_.below(3000)));
        } else if (what < 978) {
            change_faults();
        } else if (what < 986) {
            node_->disk().crash_at(node_->disk().operations() + 1 + random_.below(40));
        } else if (what < 994) {
            kill();
        } else {
            stop_in_order();
        }
        world_.run_due(executor_.clock().now());
        if (verdict_.first()) return;
        // A node whose log has failed answers nobody.
        for (auto& each : clients_) {
            if (!node_->failure()) each->check();
        }
        if (verdict_.first()) return;
        if (node_->failure()) {
            // The process ends soon, but not at once.
            if (random_.below(3) != 0) return;
            ++report_.log_failures;
            return kill();
        }
        if (node_->crashed()) kill();
    }

    void advance(milliseconds by) {
        // In pieces, so that storage answers on the way.
        for (auto left = by; left > milliseconds(0);) {
            auto piece = std::min<milliseconds>(left, milliseconds(50));
            executor_.advance(piece);
            world_.run_due(executor_.clock().now());
            left -= piece;
        }
        executor_.run_until_idle();
    }

    void change_faults() {
        ObjectFaults& faults = world_.faults;
        io::MemoryFileSystem& disk = node_->disk();
        std::uint64_t what = random_.below(100);
        trace_.add(fmt::format("faults {}", what));
        if (what < 30) {
            faults = {};
        } else if (what < 60) {
            faults.error_percent = static_cast<std::uint32_t>(random_.below(50));
            faults.lost_percent = static_cast<std::uint32_t>(random_.below(50));
            faults.late_percent = static_cast<std::uint32_t>(random_.below(60));
            faults.unlisted_percent = static_cast<std::uint32_t>(random_.below(50));
            faults.delay_ms = static_cast<std::uint32_t>(random_.below(2000));
            faults.down = random_.below(4) == 0;
        } else if (what < 75) {
            disk.set_latency(milliseconds(1 + random_.below(30)));
        } else if (what < 85 && fills_) {
            // A journal that gets no further file is full, too.
            disk.fail_next(random_.below(2) == 0 ? io::OpKind::kWrite : io::OpKind::kSync, Errc::kIo);
        } else if (fills_) {
            disk.set_capacity(random_.below(2) == 0 ? kRoomy : (100 + random_.below(400)) * kKiB);
        }
        for (auto& client : clients_) client->storage_fails = true;  // for what is under way, too
    }

    void stop_in_order() {
        advance(milliseconds(300));
        for (auto& client : clients_) {
            if (!client->idle()) return;
        }
        if (node_->failure() || node_->crashed()) return;
        trace_.add("stop");
        for (auto& client : clients_) client->detach();
        auto stopped = node_->stop();
        bool excused = node_->failure() || node_->crashed() || (!stopped && stopped.error() == Errc::kIo);
        if (!stopped && !excused) {
            verdict_.violated("the node does not stop in order: " + stopped.error().to_string());
            return;
        }
        node_->kill(random_);
        boot(false);
    }

    // Faults end; after a while and a last restart all must be in its place.
    void end() {
        current_step = step_;
        trace_.add("end");
        world_.faults = {};
        node_->disk().set_capacity(kRoomy);
        if (node_->failure() || node_->crashed()) kill(true);
        if (verdict_.first()) return;
        quiet(60);
        if (node_->failure() || node_->crashed()) kill(true);  // a fault planted before came now
        if (verdict_.first()) return;
        node_->raise_limit(16 * kMiB);  // what the log asks for when even its reserve is used up
        kill(true);
        if (verdict_.first()) return;
        for (auto& client : clients_) client->storage_fails = false;
        quiet(60);
        std::uint64_t named = 0;
        for (std::uint32_t i = 0; i < clients_.size() && !verdict_.first(); ++i) {
            Client& client = *clients_[i];
            client.check();
            if (!client.idle()) {
                verdict_.violated(fmt::format("container {} leaves without an answer: {}", i, client.first_pending()));
            }
            client.read_all([this] { advance(milliseconds(20)); });
            auto tiering = node_->container(i).stats().tiering;
            named += tiering.objects;
            if (tiering.log_only_bytes != 0 || tiering.trouble) {
                verdict_.violated(fmt::format("container {}: {} bytes are only in the log after a quiet time {}", i,
                                              tiering.log_only_bytes, tiering.trouble.value_or("")));
            }
        }
        if (verdict_.first()) return;
        if (named != world_.objects.size()) {
            verdict_.violated(fmt::format("{} objects lie in long-term storage, {} of them are referred to",
                                          world_.objects.size(), named));
        }
        report_.objects_written = world_.objects.size();
        trace_.add(fmt::format("{} objects", named));
    }
    void quiet(int seconds) {
        for (int i = 0; i < seconds; ++i) advance(milliseconds(1000));
    }

    const SimulationOptions options_;
    SeededRandom random_;
    runtime::ManualExecutor executor_;
    ObjectWorld world_;
    Trace trace_;
    Verdict verdict_;
    SimulationReport report_;
    bool fills_ = false;
    std::uint64_t calmness_ = 1;
    std::uint64_t step_ = 0;
    std::vector<std::unique_ptr<Client>> clients_;
    std::unique_ptr<Node> node_;
};

}  // namespace

void Trace::add(std::string_view event) {
    for (char c : event) hash_ = (hash_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
    hash_ = (hash_ ^ '\n') * 0x100000001b3;
    if (print) std::fprintf(stderr, "%.*s\n", static_cast<int>(event.size()), event.data());
}

SimulationReport simulate(const SimulationOptions& options) {
    current_seed = options.seed;
    current_step = 0;
    return Simulation(options).run();
}

std::string where_it_is() { return fmt::format("seed {}, step {}", current_seed, current_step); }

}  // namespace millrace::sim
