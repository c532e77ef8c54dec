#include "emulation/nccl/bootstrap.hpp"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <thread>

namespace bitmill::fake_nccl {
namespace {

constexpr uint64_t magic = 0x6c63636e2d756d65;

// What ncclUniqueId holds.
struct Ticket {
  uint64_t magic;
  uint64_t number;  // random: ranks of two communicators that met by mistake are told apart
  Address root;
};
static_assert(sizeof(Ticket) <= NCCL_UNIQUE_ID_BYTES);

struct Hello {
  uint64_t number;
  RankInfo info;
};

bool never() { return false; }

// NCCL_HOSTID, as NCCL reads it, lets one machine stand for several.
uint64_t host_id() {
  if (const char* set = std::getenv("NCCL_HOSTID"); set != nullptr) {
    return std::hash<std::string>()(set);
  }
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return std::hash<std::string>()(name + boot);
}

// The thread behind a unique id.
void serve(const Socket& listener, uint64_t number) {
  std::vector<Socket> sockets;
  std::vector<RankInfo> infos;
  do {
    Socket socket = accept_one(listener, never);
    Hello hello;
    if (!read_all(socket, &hello, sizeof(hello), never) || hello.number != number) continue;
    infos.push_back(hello.info);
    sockets.push_back(std::move(socket));
  } while (infos.empty() || infos.size() < static_cast<size_t>(infos[0].count));
  for (const Socket& socket : sockets) {
    write_all(socket, infos.data(), infos.size() * sizeof(RankInfo), never);
  }
}

std::string why_unfit(const std::vector<RankInfo>& infos, int count) {
  for (size_t i = 0; i < infos.size(); ++i) {
    if (infos[i].count != count) {
      return "rank " + std::to_string(infos[i].rank) + " was told of " +
             std::to_string(infos[i].count) + " ranks, this one of " + std::to_string(count);
    }
    for (size_t j = 0; j < i; ++j) {
      const std::string both =
          "rank " + std::to_string(infos[j].rank) + " and rank " + std::to_string(infos[i].rank);
      if (infos[i].rank == infos[j].rank) return "two processes are " + both;
      if (infos[i].host == infos[j].host && infos[i].device == infos[j].device) {
        return "Duplicate GPU detected : " + both + " both on device " +
               std::to_string(infos[i].device);
      }
    }
  }
  return "";
}

Joined failed(ncclResult_t result, const std::string& message) { return {result, message, {}}; }

// Lower ranks are connected to, higher ones connect.
bool connect_all(const std::vector<RankInfo>& by_rank, int rank, uint64_t number,
                 const Socket& listener, const GivenUp& given_up, std::vector<Socket>* peers) {
  for (int peer = 0; peer < rank; ++peer) {
    Socket socket = connect_to(by_rank[static_cast<size_t>(peer)].address, given_up);
    const Hello hello{number, by_rank[static_cast<size_t>(rank)]};
    if (!socket.valid() || !write_all(socket, &hello, sizeof(hello), given_up)) return false;
    (*peers)[static_cast<size_t>(peer)] = std::move(socket);
  }
  for (size_t left = by_rank.size() - static_cast<size_t>(rank) - 1; left > 0;) {
    Socket socket = accept_one(listener, given_up);
    Hello hello;
    if (!socket.valid()) return false;
    if (!read_all(socket, &hello, sizeof(hello), given_up) || hello.number != number) continue;
    (*peers)[static_cast<size_t>(hello.info.rank)] = std::move(socket);
    --left;
  }
  return true;
}

}  // namespace

bool make_unique_id(ncclUniqueId* id) {
  uint32_t ip = 0;
  if (!own_ip(&ip)) return false;
  std::random_device random;
  Ticket ticket{magic, (uint64_t{random()} << 32) | random(), {}};
  auto listener = std::make_shared<Socket>(listen_at(ip, &ticket.root));
  if (!listener->valid()) return false;
  std::memset(id, 0, sizeof(*id));
  std::memcpy(id->internal, &ticket, sizeof(ticket));
  std::thread([listener, number = ticket.number] { serve(*listener, number); }).detach();
  return true;
}

Joined join(const ncclUniqueId& id, int rank, int count, int device, const GivenUp& given_up) {
  Ticket ticket;
  std::memcpy(&ticket, id.internal, sizeof(ticket));
  if (ticket.magic != magic) return failed(ncclInvalidArgument, "not a unique id of this library");
  uint32_t ip = 0;
  if (!own_ip(&ip)) return failed(ncclSystemError, "no interface as NCCL_SOCKET_IFNAME names it");
  RankInfo own{rank, count, device, host_id(), {}};
  const Socket listener = listen_at(ip, &own.address);
  const Socket root = connect_to(ticket.root, given_up);
  const Hello hello{ticket.number, own};
  std::vector<RankInfo> infos(static_cast<size_t>(count));
  if (!listener.valid() || !root.valid() || !write_all(root, &hello, sizeof(hello), given_up) ||
      !read_all(root, infos.data(), infos.size() * sizeof(RankInfo), given_up)) {
    return failed(ncclSystemError, "no answer of the process that made the unique id");
  }
  if (const std::string why = why_unfit(infos, count); !why.empty()) {
    return failed(ncclInvalidUsage, why);
  }
  std::vector<RankInfo> by_rank(infos.size());
  for (const RankInfo& info : infos) by_rank.at(static_cast<size_t>(info.rank)) = info;
  Joined joined;
  joined.peers.resize(infos.size());
  if (!connect_all(by_rank, rank, ticket.number, listener, given_up, &joined.peers)) {
    return failed(ncclRemoteError, "a rank was lost while all connected");
  }
  return joined;
}

}  // namespace bitmill::fake_nccl
