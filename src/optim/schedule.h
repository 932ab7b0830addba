// Learning-rate schedules as functions of the step, with transformers' definitions (get_*_schedule_with_warmup).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace shardlora {

enum class Schedule : std::uint8_t { kConstant, kLinear, kCosine };

// "constant", "linear", "cosine", and transformers' "constant_with_warmup".
std::optional<Schedule> schedule_named(std::string_view name);

// The factor on the peak rate for optimiser step `step` (0 is the first) of `total`: rises linearly over `warmup`
// steps, then stays, falls linearly to 0, or follows half a cosine to 0.
double learning_rate_factor(Schedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t total);

}  // namespace shardlora
