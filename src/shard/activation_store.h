// The inputs of the layers, one per (layer, micro-batch of the wave): what backward recomputes from. They rest on the
// device, in host memory or on disk. Off the device it has room for those of two layers: while one layer runs, its
// inputs are on their way out, and backward those of the layer below it on their way in. Those on disk go through two
// layers' room in host memory, so that the disk is a layer behind the copies forward, and one ahead of them backward.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include "backend/device.h"
#include "base/scratch_file.h"
#include "param/layout.h"

namespace shardlora {

// Whether a pass goes backwards too. One that does not needs the inputs of two layers only, so that it has room for
// more micro-batches at a time.
enum class Pass : std::uint8_t { kTraining, kForward };

class ActivationStore {
 public:
  // For inputs 0 ... layers - 1 of layers, and that of the head (`layers`), which is kept for nobody. micro_batches: of
  // a wave of training. `scratch`: the directory of those on disk, whose room is claimed now.
  ActivationStore(Device& device, Tier tier, std::int64_t layers, std::int64_t micro_batches, std::int64_t rows,
                  std::int64_t width, DType dtype, const std::filesystem::path& scratch = {});
  ~ActivationStore();

  // From here on waves are those of `pass`; nothing of the last pass is read any more.
  void begin(Pass pass) { pass_ = pass; }
  // Micro-batches that the pass has room for at a time.
  std::int64_t micro_batches() const {
    return training_micro_batches_ * static_cast<std::int64_t>(training_places_ / places());
  }
  // (rows, width): where layer `layer`'s input of the wave's micro-batch `slot` is on the device, from `open` until
  // `open` of the layer after the next, and from `bring` on.
  Tensor at(std::int64_t layer, std::int64_t slot, std::int64_t rows) const;
  // Before inputs of `layer` are written. Compute waits until there is room.
  void open(std::int64_t layer);
  // Those of `slots` micro-batches were written, and backward, if there is one, will want them.
  void keep(std::int64_t layer, std::int64_t slots);
  // Before they are read again, in falling order of layers. Compute waits until they are there.
  void bring(std::int64_t layer);
  // Waits for the disk; throws what failed there. As LayerStreamer's.
  void finish_files();
  // Throws what failed on the way of inputs. What was computed with them counts only when this was called after it.
  void check();

 private:
  std::size_t places() const { return pass_ == Pass::kTraining ? training_places_ : 2; }
  std::size_t place_of(std::int64_t layer) const { return static_cast<std::size_t>(layer) % places(); }
  std::size_t place_bytes() const {  // a layer's inputs
    return static_cast<std::size_t>(micro_batches() * rows_ * width_) * size_of(dtype_);
  }
  std::size_t host_bytes() const { return whole_pages(place_bytes()); }
  std::byte* host(std::int64_t layer) const;
  void load(std::int64_t layer);
  // Of what a layer keeps.
  Event copy(const char* where, std::byte* to, const std::byte* from);
  void read_ahead(std::int64_t layer);
  // Has the disk write or read what lies in host memory of a layer's inputs.
  template <typename Work>
  void file(std::int64_t layer, Work work);

  Device& device_;
  std::int64_t rows_, width_;
  DType dtype_;
  const std::int64_t training_micro_batches_;
  const std::size_t training_places_;
  Pass pass_ = Pass::kTraining;
  std::size_t kept_bytes_ = 0;  // of a layer of the wave that runs
  Buffer places_memory_, host_;
  std::optional<ScratchFile> file_;
  std::unique_ptr<Stream> copies_, files_;
  // Of each place, and on disk of the room in host memory that goes with it: its last copy, out or in, and its last
  // write or read; the layer whose inputs are, or will be, in it.
  std::array<Event, 2> copied_{}, filed_{};
  std::array<std::int64_t, 2> held_{-1, -1}, staged_{-1, -1};
};

}  // namespace shardlora
