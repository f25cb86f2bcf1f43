#include <gtest/gtest.h>
TEST(Sim, Empty) {}
