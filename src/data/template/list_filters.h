// The filters of the template language that work on lists.
#pragma once

#include "data/template/interpreter.h"

namespace shardlora {

// select, reject, selectattr, rejectattr: what is left of `a` after the attribute names a test and its arguments.
Value selected(Interpreter& in, const Value& v, const Arguments& a, bool by_attribute, bool keep);
Value mapped(Interpreter& in, const Value& v, const Arguments& a);
Value joined(Interpreter& in, const Value& v, const Arguments& a);
Value sorted(Interpreter& in, const Value& v, const Arguments& a);
Value sorted_dict(Interpreter& in, const Value& v, const Arguments& a);
Value unique(Interpreter& in, const Value& v, const Arguments& a);
Value extreme(Interpreter& in, const Value& v, const Arguments& a, bool largest);
Value total(Interpreter& in, const Value& v, const Arguments& a);
Value grouped(Interpreter& in, const Value& v, const Arguments& a);
Value batches(Interpreter& in, const Value& v, const Arguments& a);
Value slices(Interpreter& in, const Value& v, const Arguments& a);
Value reversed(const Value& v);
Value pairs_of(const Value& v);
Value end_of(const Value& v, bool front);  // first, last

}  // namespace shardlora
