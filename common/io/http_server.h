#pragma once
// The health endpoint: answers GET /health and GET /metrics with what the loop published last, from
// threads of its own. The only place that knows the HTTP library.
//
// Its peers cannot hurt the loop, which only hands over a text now and then. A request is bounded
// in bytes and in time as a whole, connections in number, and each gets one answer.

#include <memory>
#include <string>

#include "common/config.h"
#include "common/result.h"

namespace common::io {

class HttpServer {
public:
    // Busy: somebody else listens there.
    static Result<std::unique_ptr<HttpServer>> open(const HostPort& address);
    // Waits for requests under way, which limits::kHttpRequestMsMax bounds.
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // From now on /health is answered 200 (healthy) or 503 with this text, and /metrics with that
    // one. Before the first call they are 503 with an empty object, and 200 with nothing.
    void publish(bool healthy, std::string json, std::string metrics);

private:
    struct Impl;
    explicit HttpServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

struct HttpAnswer {
    int status = 0;
    std::string body;
};
// Waits for the answer, at most a few seconds.
Result<HttpAnswer> http_get(const HostPort& address, const std::string& path);

// --health: asks the process that serves at `address`, prints its JSON (or, on stderr, why there is
// none) and gives the exit code: 0 healthy, 1 not.
int print_health(const HostPort& address);

}  // namespace common::io
