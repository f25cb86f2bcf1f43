// millrace-sim: the simulation alone, which builds in a fraction of the server's time.
#include "sim/command.h"

int main(int argc, char** argv) { return millrace::sim::simulation_command(argc, argv); }
