// Node: one process's rooms, wired together. Everything a standalone server is made of is made, started and stopped
// here, and nothing else is decided here.
//
// Life cycle: make, start() (blocking: guards the data directory, recovers the containers from the journal, then
// listens), serve, stop(), destroy. When start() fails, only destroying is left. Thread rule: one thread makes, starts,
// stops and destroys. Failure: the first error that makes it pointless to go on (the journal cannot be written) is
// handed to `on_failure`, on some loop's thread; whoever owns the process ends it. What was acknowledged is in the
// journal, and the next start recovers it.
//
// Threads: loops "shard-<n>" for segments' connections and containers (container c on shard c mod N), the journal and
// its files on shard 0; loop "control" for controller, REST and health; gRPC's own; the file system's; the stall
// detector's.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "node/options.h"
#include "runtime/executor.h"

namespace millrace::node {

// Where it serves, for the ready message; ports are the real ones.
struct Addresses {
    std::string controller;  // "tcp://127.0.0.1:9090"
    std::string rest;        // "http://127.0.0.1:9091"
    std::string store;       // "127.0.0.1:6000"
    std::string data;        // absolute path
};

class Node {
  public:
    Node(NodeOptions settled, runtime::Callback<Error> on_failure);
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // Returns when every part serves. The errors' texts are for the operator.
    Result<Addresses> start();

    // Accepts no more, ends what is under way, marks the journal's clean end. False when that was not over in time:
    // then the process should end without destroying the node. Nothing acknowledged depends on it.
    bool stop(std::chrono::milliseconds within);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::node
