#pragma once
// Why a request is not answered: what a client gets to read.

#include <string>

#include "base/error.hpp"

namespace bitmill {

class RequestError : public Error {
 public:
  // `status` is that of HTTP. `field`: the key of the body that is wrong; may be empty. The message
  // says what is expected and what was found.
  RequestError(int status, std::string field, const std::string& message)
      : Error(message), status_(status), field_(std::move(field)) {}

  int status() const { return status_; }
  const std::string& field() const { return field_; }

 private:
  int status_;
  std::string field_;
};

namespace http_status {
inline constexpr int ok = 200;
inline constexpr int bad_request = 400;
inline constexpr int unauthorized = 401;
inline constexpr int forbidden = 403;
inline constexpr int not_found = 404;
inline constexpr int wrong_method = 405;
inline constexpr int length_required = 411;
inline constexpr int too_large = 413;
inline constexpr int wrong_media_type = 415;
inline constexpr int failed = 500;
inline constexpr int unavailable = 503;
}  // namespace http_status

}  // namespace bitmill
