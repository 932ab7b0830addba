#include "shard/activation_store.h"

#include <span>

#include "shard/finish_quietly.h"

namespace shardlora {

ActivationStore::ActivationStore(Device& device, Tier tier, std::int64_t layers, std::int64_t micro_batches,
                                 std::int64_t rows, std::int64_t width, DType dtype,
                                 const std::filesystem::path& scratch)
    : device_(device),
      rows_(rows),
      width_(width),
      dtype_(dtype),
      training_micro_batches_(micro_batches),
      training_places_(tier == Tier::kDevice ? static_cast<std::size_t>(layers) + 1 : 2) {
  places_memory_ = device.allocate(places() * place_bytes(), Tier::kDevice, Purpose::kLayerInputs);
  if (tier == Tier::kDevice) return;
  const auto all = static_cast<std::size_t>(layers) * host_bytes();
  host_ = device.allocate(tier == Tier::kDisk ? places() * host_bytes() : all, Tier::kPinned, Purpose::kLayerInputs);
  copies_ = device.make_stream("layer inputs");
  if (tier != Tier::kDisk) return;
  file_.emplace(scratch, all);
  files_ = device.make_stream("layer input files");
}

ActivationStore::~ActivationStore() {
  for (Stream* const stream : {copies_.get(), files_.get()})
    if (stream != nullptr) finish_quietly(*stream);
}

Tensor ActivationStore::at(std::int64_t layer, std::int64_t slot, std::int64_t rows) const {
  CHECK(slot < micro_batches() && rows <= rows_, "micro-batch {} of {} rows in a store of {} x {}", slot, rows,
        micro_batches(), rows_);
  const auto in_place = static_cast<std::size_t>(slot * rows_ * width_) * size_of(dtype_);
  return places_memory_.tensor(dtype_, {rows, width_}, place_of(layer) * place_bytes() + in_place);
}

void ActivationStore::open(std::int64_t layer) {
  if (!copies_) return;
  device_.timeline().wait(device_.compute(), copied_[place_of(layer)], Hop::kLayerInputs);
  held_[place_of(layer)] = layer;
}

void ActivationStore::keep(std::int64_t layer, std::int64_t slots) {
  if (!copies_ || pass_ == Pass::kForward) return;
  kept_bytes_ = static_cast<std::size_t>(slots * rows_ * width_) * size_of(dtype_);
  const std::size_t place = place_of(layer);
  copies_->wait(device_.compute().record());
  copies_->wait(filed_[place]);
  copied_[place] = copy("to the host", host(layer), places_memory_.data() + place * place_bytes());
  if (file_) file(layer, [](ScratchFile& to, std::uint64_t at, std::span<std::byte> bytes) { to.write_at(at, bytes); });
}

std::byte* ActivationStore::host(std::int64_t layer) const {
  return host_.data() + (file_ ? place_of(layer) : static_cast<std::size_t>(layer)) * host_bytes();
}

template <typename Work>
void ActivationStore::file(std::int64_t layer, Work work) {
  const std::size_t place = place_of(layer);
  staged_[place] = layer;
  files_->wait(copied_[place]);
  const Timeline::Mark mark = device_.timeline().begin(*files_, "layer input files", fmt::format("layer {}", layer));
  files_->submit([&file = *file_, work, at = static_cast<std::size_t>(layer) * host_bytes(),
                  bytes = std::span(host(layer), whole_pages(kept_bytes_))] { work(file, at, bytes); });
  device_.timeline().end(*files_, mark);
  filed_[place] = files_->record();
}

void ActivationStore::read_ahead(std::int64_t layer) {
  if (!file_ || staged_[place_of(layer)] == layer) return;
  file(layer, [](ScratchFile& from, std::uint64_t at, std::span<std::byte> bytes) { from.read_at(at, bytes); });
}

void ActivationStore::load(std::int64_t layer) {
  const std::size_t place = place_of(layer);
  if (held_[place] == layer) return;
  held_[place] = layer;
  read_ahead(layer);
  copies_->wait(filed_[place]);
  copies_->wait(device_.compute().record());  // whoever used the place was submitted
  copied_[place] = copy("to the device", places_memory_.data() + place * place_bytes(), host(layer));
}

Event ActivationStore::copy(const char* where, std::byte* to, const std::byte* from) {
  const Timeline::Mark mark = device_.timeline().begin(*copies_, "layer inputs", where);
  device_.copy(to, from, kept_bytes_, *copies_);
  device_.timeline().end(*copies_, mark);
  return copies_->record();
}

void ActivationStore::bring(std::int64_t layer) {
  if (!copies_) return;
  load(layer);
  device_.timeline().wait(device_.compute(), copied_[place_of(layer)], Hop::kLayerInputs);
  if (layer > 0) load(layer - 1);
  if (layer > 1) read_ahead(layer - 2);
}

void ActivationStore::finish_files() {
  if (files_) files_->synchronize();
}

void ActivationStore::check() {
  for (Stream* const stream : {files_.get(), copies_.get()})
    if (stream != nullptr) stream->throw_failure();
}

}  // namespace shardlora
