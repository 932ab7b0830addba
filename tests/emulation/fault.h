// Accesses to memory that is not there, and other traps of the processor. In a kernel they end the kernel with an error
// of the device; on the host they say which rule was broken and end the program as ever.
#pragma once

namespace emulation {

void catch_faults();  // for this host thread and, the first time, for the process
bool just_outside_shared(const void* address);

}  // namespace emulation
