#include "eval/text_forward.hpp"

#include <algorithm>
#include <map>

#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {
TextStreams::TextStreams(std::span<const TextIds> texts, int64_t hidden, TextNames names,
                         StreamBudget& budget)
    : names_(names), places_(texts.size()) {
  std::map<int64_t, std::vector<int64_t>> of_length;
  for (int64_t text = 0; text < std::ssize(texts); ++text) {
    of_length[std::ssize(texts[text])].push_back(text);
  }
  for (const auto& [length, members] : of_length) {
    streams_.push_back(std::make_unique<SampleStream>(budget, std::ssize(members), length, hidden));
    for (int64_t sample = 0; sample < std::ssize(members); ++sample) {
      places_[members[sample]] = {streams_.back().get(), sample};
    }
  }
}

at::Tensor TextStreams::load(int64_t text) const {
  return places_[text].stream->load(places_[text].sample);
}

void TextStreams::prefetch(int64_t text) const {
  if (text < std::ssize(places_)) places_[text].stream->prefetch(places_[text].sample);
}

void TextStreams::store(int64_t text, const at::Tensor& value, int64_t block) {
  places_[text].stream->store(
      places_[text].sample, value,
      {"block", block, names_.unit, names_.first + text,
       "the model overflows float32 there, or was damaged before it came into this folder"});
}

std::unique_ptr<TextStreams> forward_texts(const SourceModel& model, std::span<const TextIds> texts,
                                           TextNames names, StreamBudget& budget,
                                           const Device& device,
                                           const std::function<void()>& block_done) {
  const ModelConfig& config = model.config();
  auto streams = std::make_unique<TextStreams>(texts, config.hidden_size, names, budget);
  const int64_t count = std::ssize(texts);
  ThreadPool& pool = device.host();
  pool.parallel_for(count, [&](int64_t i) { streams->store(i, model.embed(texts[i]), -1); });
  int64_t longest = 0;
  for (const TextIds& text : texts) longest = std::max(longest, std::ssize(text));
  const Rotary rotary = on_device(make_rotary(config, longest), device);
  for (int64_t block = 0; block < config.blocks; ++block) {
    if (count > 0) {
      const BlockWeights weights = load_on(device, model, block);
      device.for_units(count, [&](int64_t i) {
        streams->prefetch(i + device.lanes());  // the text that a lane takes next
        const Rotary tables = rows_of(rotary, 0, std::ssize(texts[i]));
        const at::Tensor x = device.bring(streams->load(i));
        streams->store(i, device.fetch(dense_block_forward(config, weights, tables, x, pool)),
                       block);
      });
    }
    block_done();
  }
  return streams;
}

}  // namespace bitmill
