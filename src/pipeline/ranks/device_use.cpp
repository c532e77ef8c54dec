#include "pipeline/ranks/device_use.hpp"

#include "pipeline/ranks/ranks_check.hpp"

namespace bitmill {

DeviceUse device_use(Communicator& comm, const Mesh& mesh, const Device& device,
                     const RunControl& control, const Say& note, const Say& say) {
  const DeviceShare share = device_share(comm, device, control.host);
  for (const std::string& sentence : share.notes) note(sentence);
  const TensorWay way = choose_way(comm, mesh, device, control.host, control.transfer_patience_s);
  if (!way.words.empty()) say(way.words);
  return {way, share.bytes};
}

}  // namespace bitmill
