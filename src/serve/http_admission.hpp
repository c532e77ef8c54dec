#pragma once
// Which requests are let in: by name, key, path and kind of body. Looks at the head alone, before a
// byte of the body is read. Keeps no state: any thread.

#include <string>

namespace httplib {
struct Request;
}

namespace bitmill {

struct HttpSettings;  // http_server.hpp

// RequestError, the first that holds: 403 for a name that is not of the loopback, where the server
// listens there alone and asks for no key; 401 for a missing or wrong key; 404, 405; of a POST 415,
// 411, 413.
void check_head(const httplib::Request& request, const HttpSettings& settings);

// Whether only this machine can reach the host: an address of the loopback, or "localhost".
bool is_loopback(const std::string& host);

}  // namespace bitmill
