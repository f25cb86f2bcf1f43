// Where slabs get their memory. Large ones lie in blocks of 2 MiB that the system is asked to back by one huge page
// each: a disk then takes a write of a MiB in one piece. In small pages it is 256 pieces, which many disks split into
// several requests, and virtual ones take one request after the other.
//
// Blocks and mappings are given back to the system: in the heap, large slabs would leave holes that no other size
// fills, and a process that reads and writes much at once would grow to twice what it holds. Some are kept for the next
// slab, since new pages cost more than filling them.
//
// Thread rule: any thread.
#pragma once

#include <cstddef>

namespace millrace::bytes {

// `size` is a multiple of kPageSize. Page-aligned, not initialised; null when there is none.
void* allocate_slab_memory(std::size_t size);
void free_slab_memory(void* memory, std::size_t size);  // `size` as it was asked for

}  // namespace millrace::bytes
