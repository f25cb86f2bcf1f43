// Objects of a directory tree in the order of their keys. Blocks; memory and time follow the folders on the way.
#pragma once

#include <string>

#include "io/file.h"
#include "lts/chunk_store.h"

namespace millrace::lts {

Result<ListPage> list_objects(io::FileSystem& files, const std::string& root, const std::string& prefix,
                              const std::string& after, std::size_t limit);

}  // namespace millrace::lts
