// `millrace sim`: replays seeds.
#pragma once

namespace millrace::sim {

// argv[1] and on: its options. The exit status: 0; 1 when a run finds a violation; 2 for wrong options.
int simulation_command(int argc, char** argv);

}  // namespace millrace::sim
