// What a recipe says of one dataset: where its files are, what their rows look like and which of it trains.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/formats/row_slice.h"
#include "data/train_on.h"

namespace shardlora {

struct DatasetSource {
  std::string path;                       // a file, a folder or a pattern (rows-*.jsonl)
  std::vector<std::string> data_files{};  // given: only these of the folder
  std::string type{};                     // a name of record_formats(); "": recognised by the first row
  RowSlice rows{};                        // of all files together: split and max_samples

  // Where a row keeps what; "": under the usual names.
  std::string field{};           // completion: the text
  std::string field_messages{};  // chat_template: the list of messages, and in each of them:
  std::string message_field_role{}, message_field_content{};
  std::string field_system{}, field_tools{};
  std::map<std::string, std::vector<std::string>> roles{};  // the template's name of a role -> names in the file

  // What of a conversation trains; not given: the answers of the assistant and their ends. An empty list of roles: only
  // messages with train: true.
  std::optional<std::vector<std::string>> roles_to_train{};
  std::optional<TrainOnEos> train_on_eos{};
};

}  // namespace shardlora
