#pragma once
// The small keys of a session file, 'holdfast' and 'users', as values; for session_file.cpp alone.

#include <map>

#include "common/session_file.h"
#include "common/value.h"

namespace common::session_file {

Value stamp_value(const GraphCopy& graph, const SessionStamp& stamp);

// What a stamp says about the graph, which is not in the other keys of the file, goes into `graph`.
Result<SessionStamp> read_stamp(const Value& value, GraphCopy& graph);

// As the addon's own files have it; what a user is, besides metadata, means nothing in a file.
Result<Value> users_value(const GraphCopy& graph);

// From a file without a stamp. Whatever does not look like metadata is passed over.
std::map<UserName, Bytes> read_users(const Value& users);

}  // namespace common::session_file
