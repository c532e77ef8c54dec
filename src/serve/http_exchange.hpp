#pragma once
// A request and its reply, without the sockets.

#include <functional>
#include <string>
#include <string_view>

namespace bitmill {

struct HttpRequest {
  std::string method;
  std::string path;
  std::string body = {};
  // Whether the client is still there. Cheap, and never waits.
  std::function<bool()> is_connected;
};

// Sends a piece; false: the client has gone, or takes nothing any more.
using HttpWrite = std::function<bool(std::string_view)>;

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  // When there is one, it makes the body, piece by piece, and returns false when it gave up.
  std::function<bool(const HttpWrite&)> stream = nullptr;
};

}  // namespace bitmill
