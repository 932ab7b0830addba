#include "run/progress.h"

#include <gtest/gtest.h>

namespace shardlora {
namespace {

TEST(ProgressBar, FillsAsTheRunGoesOn) {
  EXPECT_EQ(progress_bar(0, 8, 4), "[....]");
  EXPECT_EQ(progress_bar(3, 8, 4), "[#...]");  // what is full is done
  EXPECT_EQ(progress_bar(7, 8, 4), "[###.]");
  EXPECT_EQ(progress_bar(8, 8, 4), "[####]");
}

TEST(TimeLeft, IsWrittenInMinutesOrHours) {
  EXPECT_EQ(minutes_and_seconds(-1), "0:00");
  EXPECT_EQ(minutes_and_seconds(245), "4:05");
  EXPECT_EQ(minutes_and_seconds(3723), "1:02:03");
}

}  // namespace
}  // namespace shardlora
