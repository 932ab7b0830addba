// What a base rests as, once the recipe and the files are known.
#pragma once

#include "checkpoint/base_model.h"
#include "recipe/recipe.h"

namespace shardlora {

// What a recipe asks for, for this base: a base that is quantised already rests as it is stored, unless a format was
// asked for by name, and its name says what it rests as. Where a format quantises a second time a warning says so. An
// Error where the files are not what was asked for.
Quantization settled(const Quantization& asked, const BaseModel& base);

// The formats of a settled quantization. What is not quantised rests in `dtype`, or, where that is nothing, as the base
// stores it. `base` must outlive it.
FormatOf format_of(const Quantization& settled, const BaseModel& base, std::optional<DType> dtype);

// Every rule of settled.overrides is for some matrix of the model, or it is an Error.
void check_overrides(const Quantization& settled, const ModelSpec& model);

// "30 layers in Q4_1, embedding and head in Q8_0"
std::string formats_text(const ModelSpec& model);

}  // namespace shardlora
