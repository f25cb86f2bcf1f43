// `millrace transactions list|commit|abort SCOPE/STREAM [ID...]`: the transactions of a stream that are under way, and
// an end for those that nobody ends (docs/adr/0005-prepared-transactions.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/flink/http_client.h"

namespace millrace::cli {

enum class TransactionsAction { kList, kCommit, kAbort };

struct TransactionsRequest {
    TransactionsAction action = TransactionsAction::kList;
    std::string stream;
    std::vector<std::string> ids;  // of those to commit or abort, at least one
    std::string rest;
};

// One line for each transaction of an answer of GET .../transactions, with the ids. kCorrupt: it is no such answer.
struct TransactionsPage {
    std::string text;
    std::vector<std::string> ids;
};
Result<TransactionsPage> transactions_page(std::string_view json);

struct CommandOutcome {
    int status = 0;       // to exit with
    std::string output;   // for stdout
    std::string trouble;  // for stderr, lines
};
CommandOutcome run_transactions(HttpClient& client, const TransactionsRequest& request);

int transactions_command(const TransactionsRequest& request);  // the exit status

}  // namespace millrace::cli
