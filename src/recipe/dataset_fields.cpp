#include "recipe/dataset_fields.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "data/formats/record_format.h"
#include "recipe/foreign_keys.h"

namespace shardlora {
namespace {

using Field = DatasetField;
using K = ConfigKinds<DatasetSource>;

// Keys of axolotl that ask for nothing with these words.
Field harmless(const std::string& name, const std::vector<std::string>& words, const std::string& advice,
               std::string help) {
  return K::row(
      {name}, fmt::format("{}", fmt::join(words, ", ")), std::move(help),
      [=](DatasetSource&, const ConfigValue& v) {
        const std::string word = to_text(v);
        if (std::find(words.begin(), words.end(), word) == words.end())
          fail("{}: {}: {} is not supported in this version; {}", v.node.place, v.name, word, advice);
      },
      nullptr);
}

std::string names_of_formats() {
  std::vector<std::string_view> names;
  for (const RecordFormat& format : record_formats()) names.push_back(format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

void read_type(DatasetSource& d, const ConfigValue& v) {
  const std::string word = to_text(v);
  if (const RecordFormat* format = find_record_format(word)) {
    d.type = format->name;
    return;
  }
  std::vector<std::string> names;
  for (const RecordFormat& format : record_formats()) {
    names.emplace_back(format.name);
    names.insert(names.end(), format.aliases.begin(), format.aliases.end());
  }
  fail("{}: {}: unknown value \"{}\"{}; one of: {}; or leave it out, then it is recognised by the first row",
       v.node.place, v.name, word, did_you_mean(word, names), names_of_formats());
}

void read_split(DatasetSource& d, const ConfigValue& v) {
  const std::optional<RowSlice> slice = parse_row_slice(to_text(v));
  if (!slice)
    fail(
        "{}: {}: {} is not supported in this version; name the file with data_files, or take a part of it, such as "
        "train[:20%] or train[1000:2000]",
        v.node.place, v.name, to_text(v));
  d.rows.from = slice->from;
  d.rows.to = slice->to;
}

void read_mappings(DatasetSource& d, const ConfigValue& v) {
  if (v.node.kind != ConfigNode::Kind::kMapping) expected(v, "a mapping, such as {role: from, content: value}");
  for (const ConfigMember& member : v.node.members) {
    const ConfigValue value{v.name + "." + member.key, member.value};
    if (member.key == "role")
      d.message_field_role = to_text(value);
    else if (member.key == "content")
      d.message_field_content = to_text(value);
    else
      fail("{}: {}: this version maps role and content; other keys of a message keep their names", member.place,
           value.name);
  }
}

void read_roles(DatasetSource& d, const ConfigValue& v) {
  if (v.node.kind != ConfigNode::Kind::kMapping)
    expected(v, "a mapping of the template's roles to those of the file, such as {assistant: [gpt, model]}");
  for (const ConfigMember& member : v.node.members)
    d.roles[member.key] = to_words({v.name + "." + member.key, member.value});
}

std::string roles_yaml(const DatasetSource& d) {
  std::string list;
  for (const auto& [role, names] : d.roles)
    list += (list.empty() ? "" : ", ") + yaml_text(role) + ": " + yaml_list(names);
  return list.empty() ? "" : "{" + list + "}";
}

const Choices<TrainOnEos> kTrainOnEos{
    {"turn", TrainOnEos::kTurn}, {"all", TrainOnEos::kAll}, {"last", TrainOnEos::kLast}, {"none", TrainOnEos::kNone}};

constexpr const char* kWanted = "a list of \"- path: rows.jsonl\" with \"type: chat_template\" or another below it";

// What a misspelt key may have meant, and all of them in a line.
std::string known_keys(const std::string& written) {
  std::vector<std::string> names;
  for (const Field& field : dataset_fields()) names.push_back(field.name);
  return fmt::format("{}; this version knows {}", did_you_mean(written, names), fmt::join(names, ", "));
}

void read_member(DatasetSource& source, const ConfigMember& member, const std::string& list, ConfigNotes& notes,
                 ConfigProblems& problems) {
  const std::string written = list + "[]." + member.key;
  const auto known = [&](const Field& f) { return f.name == member.key; };
  if (const auto field = std::find_if(dataset_fields().begin(), dataset_fields().end(), known);
      field != dataset_fields().end()) {
    if (member.value.kind != ConfigNode::Kind::kNull)
      problems.attempt([&] { field->read(source, {written, member.value}); });
  } else if (const ForeignKeys* row = find_foreign(foreign_keys_of_a_dataset(), member.key)) {
    notes.take(*row, written, member.value, problems);
  } else {
    problems.add("{}: unknown key \"{}\" of a dataset{}", member.place, member.key, known_keys(member.key));
  }
}

DatasetSource to_dataset(const ConfigValue& list, const ConfigNode& item, ConfigNotes& notes,
                         ConfigProblems& problems) {
  DatasetSource source;
  if (item.kind == ConfigNode::Kind::kScalar) {
    source.path = item.text;
    return source;
  }
  if (item.kind != ConfigNode::Kind::kMapping) expected({list.name, item}, kWanted);
  for (const ConfigMember& member : item.members) read_member(source, member, list.name, notes, problems);
  if (source.path.empty() && !source.data_files.empty()) source.path = ".";
  if (source.path.empty())
    problems.add("{}: {}: a dataset without a path; add \"path: rows.jsonl\"", item.place, list.name);
  return source;
}

}  // namespace

const std::vector<Field>& dataset_fields() {
  using D = DatasetSource;
  static const std::vector<Field> table = {
      K::text({"path"}, &D::path,
              "a file, a folder or a pattern such as rows-*.jsonl (needed, unless there are data_files)"),
      K::words({"data_files"}, &D::data_files, "only these files of the folder"),
      K::row({"type"}, names_of_formats(), "the form of its rows; not given: recognised by the first row", read_type,
             [](const D& d) { return d.type; }),
      harmless("ds_type", {"json", "csv", "text"}, "files are read as .jsonl, .json, .csv, .tsv or .txt by their names",
               "whatever it says, files are told apart by their names"),
      K::row({"split"}, "train[:20%], train[1000:2000]", "which of its rows are taken", read_split,
             [](const D& d) { return written(d.rows.split()); }),
      K::whole(
          {"max_samples"}, [](auto& d) -> auto& { return d.rows.at_most; }, 1, kMany, "rows that are taken at most"),
      K::text({"field"}, &D::field, "with type: completion, the key of the text"),
      K::text({"field_messages"}, &D::field_messages, "with type: chat_template, the key of the list of messages"),
      K::row({"message_property_mappings"}, "{role: from, content: value}",
             "which keys of a message hold its role and its content", read_mappings, nullptr),
      K::text({"message_field_role"}, &D::message_field_role, "the key of a message that holds its role"),
      K::text({"message_field_content"}, &D::message_field_content, "the key of a message that holds its content"),
      K::text({"field_system"}, &D::field_system, "the key of a row's system prompt"),
      K::text({"field_tools"}, &D::field_tools, "the key of a row's tools"),
      K::row({"roles"}, "{assistant: [gpt, model]}", "the template's roles, and what the file calls each", read_roles,
             roles_yaml),
      K::row(
          {"roles_to_train"}, "a list of roles", "the roles whose turns train; not given: the assistant's",
          [](D& d, const ConfigValue& v) { d.roles_to_train = to_words(v); },
          [](const D& d) { return d.roles_to_train ? yaml_list(*d.roles_to_train) : ""; }),
      K::choice<TrainOnEos>({"train_on_eos"}, &D::train_on_eos, kTrainOnEos,
                            "which ends of turns train; not given: those of the turns that do"),
  };
  return table;
}

std::vector<DatasetSource> to_datasets(const ConfigValue& list, ConfigNotes& notes) {
  if (list.node.kind != ConfigNode::Kind::kSequence) expected(list, kWanted);
  std::vector<DatasetSource> sources;
  ConfigProblems problems;
  for (const ConfigNode& item : list.node.items)
    problems.attempt([&] { sources.push_back(to_dataset(list, item, notes, problems)); });
  problems.raise();
  return sources;
}

std::string datasets_yaml(const std::vector<DatasetSource>& sources) {
  std::string list;
  for (const DatasetSource& source : sources) {
    bool first = true;
    for (const Field& field : dataset_fields()) {
      const std::string value = field.write ? field.write(source) : "";
      if (value.empty()) continue;
      list += fmt::format("\n  {} {}: {}", first ? "-" : " ", field.name, value);
      first = false;
    }
  }
  return list;
}

}  // namespace shardlora
