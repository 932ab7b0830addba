// The keys of a recipe about its rows, and about the chat template that they go through.
#include <cmath>

#include "recipe/dataset_fields.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

const Choices<ExcessLength> kExcess{{"truncate", ExcessLength::kTruncate},
                                    {"drop", ExcessLength::kDrop},
                                    {"error", ExcessLength::kError},
                                    {"raise", ExcessLength::kError}};

RecipeField sources(const std::string& name, std::vector<DatasetSource> Recipe::* member, std::string help) {
  return K::row(
      {name}, "a list of data sets", std::move(help),
      [member](RecipeDraft& r, const ConfigValue& v) { r.*member = to_datasets(v, r.said); },
      [member](const RecipeDraft& r) { return datasets_yaml(r.*member); });
}

// LLaMA-Factory's list of data sets: names between commas. Here they are files.
RecipeField files(const std::string& name, std::vector<DatasetSource> Recipe::* member, std::string help) {
  return K::row(
      {name}, "files between commas", std::move(help),
      [member](RecipeDraft& r, const ConfigValue& v) {
        for (const std::string& word : to_split_words(v)) {
          if (word.find('.') == std::string::npos && word.find('/') == std::string::npos)
            fail(
                "{}: {}: \"{}\" is a name of dataset_info.json, which is not read here; name its file instead, or "
                "write datasets: with \"- path: rows.jsonl\" below it",
                v.node.place, v.name, word);
          (r.*member).push_back({.path = word});
        }
      },
      nullptr);
}

void read_val_set_size(RecipeDraft& r, const ConfigValue& v) {
  r.val_set_size = to_number(v, 0, 1e12);
  if (r.val_set_size >= 1 && r.val_set_size != std::floor(r.val_set_size))
    expected(v, "a fraction below 1 or a whole number of rows");
}

// What is wrong with the template's choice is told with the line of the key that shows it.
void read_template(RecipeDraft& r, const ConfigValue& v) {
  r.chat_template.name = to_text(v);
  try {
    check_template_choice(r.chat_template);
  } catch (const Error& error) {
    fail("{}: {}: {}", v.node.place, v.name, error.what());
  }
}

}  // namespace

std::vector<RecipeField> data_fields() {
  return {
      sources("datasets", &Recipe::datasets, "the rows to train on; the keys of a data set stand below (needed)"),
      sources("test_datasets", &Recipe::test_datasets, "rows that are evaluated and never trained on"),
      files("dataset", &Recipe::datasets, "the same as datasets, where files are all that is to be said"),
      files("eval_dataset", &Recipe::test_datasets,
            "the same as test_datasets, where files are all that is to be said"),
      K::whole({"max_samples"}, &RecipeDraft::max_samples, 1, kMany,
               "rows taken at most of every data set that has no max_samples of its own"),
      K::folder_or_none({"dataset_prepared_path"}, &Recipe::dataset_prepared_path,
                        "where tokenized rows are kept; not given: those of large data sets, in the user's cache"),
      K::flag({"dataset_exact_deduplication"}, &Recipe::dataset_exact_deduplication, "train on equal rows once only"),
      K::row({"val_set_size", "val_size"}, "a fraction below 1, or a number of rows",
             "rows of datasets that are held out for evaluation", read_val_set_size,
             [](const RecipeDraft& r) { return written(r.val_set_size); }),
      K::flag({"train_on_inputs", "train_on_prompt"}, &Recipe::train_on_inputs,
              "train on every token of a row, not on the answers only"),
      K::whole({"sequence_len", "cutoff_len", "max_length", "max_seq_length"}, &Recipe::sequence_len, 8, 1 << 24,
               "tokens of a row at most"),
      K::choice<ExcessLength>(
          {"excess_length_strategy"}, &Recipe::excess_length_strategy, kExcess,
          "what becomes of longer rows; not given: truncate, while at most 1 % are longer, else error"),
      // Before chat_template, which may need it.
      K::text(
          {"chat_template_jinja", "custom_chat_template"}, [](auto& r) -> auto& { return r.chat_template.jinja; },
          "a chat template of one's own: a file, or its text"),
      K::row({"chat_template", "template"}, "a name, or a file",
             "tokenizer_default is the model's own; else one by its name (chatml, llama3, ...), or my.jinja",
             read_template, [](const RecipeDraft& r) { return yaml_text(r.chat_template.name); }),
  };
}

}  // namespace shardlora
