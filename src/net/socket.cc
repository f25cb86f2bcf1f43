#include "net/socket.h"

#include <unistd.h>

namespace millrace::net {

Socket::~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace millrace::net
