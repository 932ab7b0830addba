// What a row says as samples: a conversation through the chat template, other records as their text stands.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/formats/record.h"
#include "data/sample_maker.h"

namespace shardlora {

class RecordTokenizer {
 public:
  // Both must outlive it.
  RecordTokenizer(const Tokenizer& tokenizer, const SampleMaker& chat)
      : tokenizer_(&tokenizer), chat_(&chat), ends_(chat.ends()) {}
  // A conversation is an Error that says why.
  RecordTokenizer(const Tokenizer& tokenizer, std::string why_no_chat)
      : tokenizer_(&tokenizer), why_no_chat_(std::move(why_no_chat)), ends_(tokenizer.ends()) {}

  // One sample, or several of at most sequence_len tokens where the record may be split; else the row uncut. Throws
  // RowError where nothing of it trains. May run in several threads.
  std::vector<Sample> samples_of(const Row& row, const Record& record, const SampleOptions& options,
                                 RowNotes* notes = nullptr) const;
  // What is asked before the last part that trains, and that part as the reference.
  Prompt prompt_of(const Row& row, const Record& record) const;

 private:
  Sample sample_of(const PlainText& text) const;
  Sample sample_of(const Segments& segments) const;
  Sample sample_of(const TokenRow& row) const;
  const SampleMaker& chat(const Row& row) const;
  const Tokenizer* tokenizer_;
  const SampleMaker* chat_ = nullptr;
  std::string why_no_chat_;
  std::vector<std::int32_t> ends_;
};

}  // namespace shardlora
