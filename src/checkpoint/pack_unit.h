// From the file to a unit's flat bytes: every frozen parameter read and quantised or converted into its sections, or,
// where the file holds it in the very format that it rests as, its bytes taken over. Work is spread over all OpenMP
// threads in pieces of whole blocks, so the bytes do not depend on how many there are.
#pragma once

#include <functional>
#include <span>

#include "checkpoint/base_model.h"
#include "param/layout.h"

namespace shardlora {

// flat: layout.frozen_bytes() of host memory; the gaps between sections become 0.
void pack_unit(const BaseModel& base, const UnitLayout& layout, std::span<std::byte> flat);

// The same for any naming of the layout's parameters in the file.
using NameOf = std::function<StoredName(const std::string& parameter)>;
void pack_unit(const BaseModel& base, const NameOf& name_of, const UnitLayout& layout, std::span<std::byte> flat);

// The bytes [begin, begin + out.size()) of a unit's flat bytes out of a prepared base, without reading the others: both
// ends are multiples of kPage, or the unit's end. An Error where a parameter rests in another quantised format.
void pack_share(const BaseModel& base, const UnitLayout& layout, std::size_t begin, std::span<std::byte> out);
// Whether it can: every parameter rests as it is stored, or is dense here and there.
bool can_pack_share(const BaseModel& base, const UnitLayout& layout);

}  // namespace shardlora
