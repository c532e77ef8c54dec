#include "serve/http_admission.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <httplib.h>
#include <netinet/in.h>

#include <algorithm>
#include <vector>

#include "serve/http_server.hpp"
#include "serve/request_error.hpp"
#include "serve/service.hpp"

namespace bitmill {
namespace {

// Takes as long for any key, right or wrong.
bool is_equal_slowly(const std::string& given, const std::string& key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |=
        static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

// "localhost" of "localhost:8080", "::1" of "[::1]:8080".
std::string host_of(const std::string& authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_json(const std::string& content_type) {
  const std::string type = content_type.substr(0, content_type.find_first_of("; "));
  return type == "application/json";
}

void check_body_head(const httplib::Request& request, int64_t body_bytes) {
  if (!is_json(request.get_header_value("Content-Type"))) {
    throw RequestError(http_status::wrong_media_type, "",
                       "the body must be JSON: send \"Content-Type: application/json\"");
  }
  if (request.has_header("Content-Encoding")) {
    throw RequestError(http_status::wrong_media_type, "",
                       "the body must come as it is: leave out \"Content-Encoding\"");
  }
  const bool chunked = request.has_header("Transfer-Encoding");
  const size_t lengths = request.get_header_value_count("Content-Length");
  if (chunked ? lengths != 0 || request.get_header_value("Transfer-Encoding") != "chunked"
              : lengths != 1) {
    throw RequestError(http_status::length_required, "",
                       "the length of the body is not clear: send one \"Content-Length\"");
  }
  if (!chunked &&
      request.get_header_value<uint64_t>("Content-Length") > static_cast<uint64_t>(body_bytes)) {
    throw RequestError(http_status::too_large, "",
                       fmt::format("the body may have {} bytes: send less at once", body_bytes));
  }
}

}  // namespace

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  // Only an address: anybody can own the name 127.evil.example.
  in_addr address = {};
  if (::inet_pton(AF_INET, host.c_str(), &address) != 1) return false;
  return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

void check_head(const httplib::Request& request, const HttpSettings& settings) {
  const bool is_get = request.method == "GET" || request.method == "HEAD";
  // A page of the web that was told that its name is 127.0.0.1 must not reach a server without key.
  const std::string host = host_of(request.get_header_value("Host"));
  if (settings.key.empty() && is_loopback(settings.host) && !host.empty() && !is_loopback(host)) {
    throw RequestError(http_status::forbidden, "",
                       "the server answers on its own machine only, by the name of localhost");
  }
  const std::string given = request.get_header_value("Authorization");
  const bool open = settings.key.empty() || (is_get && request.path == "/health");
  if (!open && !is_equal_slowly(given, "Bearer " + settings.key)) {
    throw RequestError(http_status::unauthorized, "",
                       "the key is missing or wrong: send \"Authorization: Bearer KEY\"");
  }
  const bool get_path = contains(Service::get_paths(), request.path);
  const bool post_path = contains(Service::post_paths(), request.path);
  if (!get_path && !post_path) {
    throw RequestError(
        http_status::not_found, "",
        fmt::format("there is nothing here of that name; there are {} and {}",
                    fmt::join(Service::get_paths(), ", "), fmt::join(Service::post_paths(), ", ")));
  }
  if (get_path ? !is_get : request.method != "POST") {
    throw RequestError(http_status::wrong_method, "",
                       fmt::format("this path takes {}", get_path ? "GET" : "POST"));
  }
  if (request.method == "POST") check_body_head(request, settings.body_bytes);
}

}  // namespace bitmill
