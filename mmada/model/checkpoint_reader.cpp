// SPDX-License-Identifier: MIT
#include "mmada/model/checkpoint_reader.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>

#include "mmada/core/check.h"
#include "mmada/core/quote.h"
#include "mmada/model/checkpoint.h"

namespace mmada {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;  // read at once where values are converted on their way

std::string shape_text(const std::vector<int64_t>& shape) { return cat(at::IntArrayRef(shape)); }

// Values of another type or for another device pass through a small buffer.
void read_converted(const SafetensorsFile& file, const TensorEntry& entry, const at::Tensor& destination) {
  const auto type = scalar_type_of(entry.dtype);
  const auto size = static_cast<int64_t>(dtype_size(entry.dtype));
  const at::Tensor flat = destination.view({-1});
  const int64_t step = kPieceBytes / size;
  const at::Tensor buffer = at::empty({std::min(step, flat.numel())}, type);
  for (int64_t begin = 0; begin < flat.numel(); begin += step) {
    const int64_t count = std::min(step, flat.numel() - begin);
    TensorEntry piece{
        entry.name, entry.dtype, {count}, entry.begin + begin * size, entry.begin + (begin + count) * size};
    file.read(piece, buffer.mutable_data_ptr());
    flat.narrow(0, begin, count).copy_(buffer.narrow(0, 0, count));
  }
}

void read_tensor(const SafetensorsFile& file, const TensorEntry& entry, const at::Tensor& destination) {
  MMADA_CHECK(destination.is_contiguous() && destination.sizes() == at::IntArrayRef(entry.shape), file.path(),
              ": tensor ", quote(entry.name), ": found shape ", shape_text(entry.shape),
              ", expected contiguous ", destination.sizes());
  if (destination.is_cpu() && destination.scalar_type() == scalar_type_of(entry.dtype))
    file.read(entry, destination.mutable_data_ptr());
  else
    read_converted(file, entry, destination);
}

}  // namespace

CheckpointReader::CheckpointReader(const std::string& directory, Canonical canonical)
    : directory_(directory), canonical_(std::move(canonical)) {
  const CheckpointFiles found = find_checkpoint_files(directory);
  for (const std::string& path : found.files) files_.emplace_back(path);
  for (size_t f = 0; f < files_.size(); ++f)
    for (size_t e = 0; e < files_[f].tensors().size(); ++e) {
      const std::string& name = files_[f].tensors()[e].name;
      const auto [place, fresh] = places_.emplace(canonical_(name), Place{f, e});
      if (!fresh)
        conflicts_.push_back(cat("stored twice: ", name, " in ", files_[f].path(), " and ",
                                 entry(place->second).name, " in ", files_[place->second.file].path()));
    }
  for (const auto& [name, file] : found.file_of_tensor)
    if (files_[file].find(name) == nullptr)
      conflicts_.push_back(cat("not where the index says: ", name, " in ", files_[file].path()));
}

const TensorEntry* CheckpointReader::find(const std::string& name) const {
  const auto found = places_.find(canonical_(name));
  return found == places_.end() ? nullptr : &entry(found->second);
}

void CheckpointReader::check(const std::vector<ExpectedTensor>& expected,
                             const std::vector<std::string>& tolerated) const {
  std::vector<std::string> faults = conflicts_;
  std::set<std::string> known;
  for (const std::string& name : tolerated) known.insert(canonical_(name));
  for (const ExpectedTensor& tensor : expected) {
    known.insert(canonical_(tensor.name));
    const TensorEntry* stored = find(tensor.name);
    if (stored == nullptr)
      faults.push_back(cat("missing: ", tensor.name, " ", shape_text(tensor.shape)));
    else if (stored->shape != tensor.shape)
      faults.push_back(cat("misshapen: ", stored->name, ": found ", shape_text(stored->shape), ", expected ",
                           shape_text(tensor.shape)));
  }
  for (const auto& [name, place] : places_)
    if (!known.contains(name))
      faults.push_back(cat("unexpected: ", entry(place).name, " ", shape_text(entry(place).shape)));
  if (faults.empty()) return;
  std::string message =
      cat(directory_, ": found ", faults.size(), " tensors that do not fit the configuration:");
  for (const std::string& fault : faults) message += "\n  " + fault;
  throw Error(message);
}

void CheckpointReader::read(const std::vector<std::pair<std::string, at::Tensor>>& destinations) const {
  const at::NoGradGuard no_grad;
  std::vector<std::pair<Place, at::Tensor>> order;
  for (const auto& [name, tensor] : destinations) {
    const auto found = places_.find(canonical_(name));
    MMADA_CHECK(found != places_.end(), directory_, ": found no tensor ", quote(name));
    order.emplace_back(found->second, tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.file, a.first.entry) < std::pair(b.first.file, b.first.entry);
  });
  for (const auto& [place, tensor] : order) read_tensor(files_[place.file], entry(place), tensor);
}

}  // namespace mmada
