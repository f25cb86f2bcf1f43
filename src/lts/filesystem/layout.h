// Where things are below the directory of a FilesystemStore, and what is done with these places at the start: the
// version is checked, what crashed stores left behind is removed. All calls block.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "io/file.h"

namespace millrace::lts {

class Layout {
  public:
    explicit Layout(std::string root) : root_(std::move(root)) {}

    const std::string& root() const { return root_; }
    std::string object(const std::string& key) const { return objects() + "/" + key; }
    std::string objects() const { return root_ + "/objects"; }
    std::string register_file(const std::string& key) const { return root_ + "/registers/" + key; }
    std::string register_lock() const { return root_ + "/registers.lock"; }
    std::string version() const { return root_ + "/VERSION"; }
    std::string temporaries() const { return root_ + "/tmp"; }
    std::string temporary(const std::string& instance, std::uint64_t number) const {
        return temporaries() + "/" + instance + "-" + std::to_string(number);
    }
    std::string instance_lock(const std::string& instance) const { return temporaries() + "/" + instance + ".lock"; }

  private:
    std::string root_;
};

std::string folder_of(const std::string& path);

// An open store's mark: while it is held, nobody removes the temporaries of this instance.
struct Instance {
    std::string name;
    std::unique_ptr<io::FileLock> lock;
};

Result<Instance> open_layout(const Layout& layout, io::FileSystem& files, Random& random);

}  // namespace millrace::lts
