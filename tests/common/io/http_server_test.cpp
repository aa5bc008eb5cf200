#include "common/io/http_server.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "common/limits.h"

using common::HostPort;
using common::io::http_get;
using common::io::HttpServer;

namespace {

sockaddr_in local(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int tcp_socket() {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(descriptor >= 0);
    return descriptor;
}

// A port nobody uses just now.
HostPort free_port() {
    const int descriptor = tcp_socket();
    sockaddr_in address = local(0);
    socklen_t size = sizeof address;
    REQUIRE(bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    close(descriptor);
    return {"127.0.0.1", ntohs(address.sin_port)};
}

int connect_to(const HostPort& to) {
    const int descriptor = tcp_socket();
    const sockaddr_in address = local(to.port);
    REQUIRE(connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return descriptor;
}

}  // namespace

TEST_CASE("health is answered with what was published last") {
    const HostPort address = free_port();
    const auto server = HttpServer::open(address).value();
    CHECK(http_get(address, "/health")->status == 503);
    CHECK(http_get(address, "/health")->body == "{}");

    CHECK(http_get(address, "/metrics")->status == 200);
    CHECK(http_get(address, "/metrics")->body.empty());

    server->publish(true, R"({"nodes": 3})", "nodes 3\n");
    CHECK(http_get(address, "/health")->status == 200);
    CHECK(http_get(address, "/health")->body == R"({"nodes": 3})");

    CHECK(http_get(address, "/metrics")->body == "nodes 3\n");

    server->publish(false, R"({"nodes": 4})", "nodes 4\n");
    CHECK(http_get(address, "/metrics")->status == 200);
    CHECK(http_get(address, "/metrics")->body == "nodes 4\n");
    CHECK(http_get(address, "/health")->status == 503);
    CHECK(http_get(address, "/health")->body == R"({"nodes": 4})");

    CHECK(http_get(address, "/")->status == 404);
    CHECK(http_get(address, "/health/../etc/passwd")->status == 404);
}

TEST_CASE("a port in use is an error that says what to do") {
    const HostPort address = free_port();
    const auto server = HttpServer::open(address).value();
    const auto second = HttpServer::open(address);
    REQUIRE_FALSE(second);
    CHECK(second.error().kind == common::ErrorKind::Busy);
    CHECK(second.error().what.find("HEALTH") != std::string::npos);
}

TEST_CASE("nobody there is an error") {
    CHECK_FALSE(http_get(free_port(), "/health"));
}

TEST_CASE("peers that say nothing hold it up for a bounded time only") {
    const HostPort address = free_port();
    const auto server = HttpServer::open(address).value();
    server->publish(true, "{}", "");
    std::vector<int> silent;
    for (std::size_t i = 0; i < common::limits::kHttpThreads; ++i) {
        silent.push_back(connect_to(address));
    }
    // All threads wait for the silent ones, and let go of them.
    common::Result<common::io::HttpAnswer> answer = http_get(address, "/health");
    for (int tries = 0; !answer && tries < 10; ++tries) {
        answer = http_get(address, "/health");
    }
    CHECK(answer->status == 200);
    for (const int descriptor : silent) {
        close(descriptor);
    }
}

TEST_CASE("a request without end is cut off") {
    const HostPort address = free_port();
    const auto server = HttpServer::open(address).value();
    const int descriptor = connect_to(address);
    const std::string start = "GET /health HTTP/1.1\r\n";
    REQUIRE(send(descriptor, start.data(), start.size(), MSG_NOSIGNAL) > 0);
    const std::string header = "X-Header: " + std::string(1000, 'x') + "\r\n";
    std::size_t sent = 0;
    // If it read on for ever, this would never end.
    while (send(descriptor, header.data(), header.size(), MSG_NOSIGNAL) > 0) {
        sent += header.size();
    }
    CHECK(sent > common::limits::kHttpRequestBytesMax);
    close(descriptor);
}
