#include "common/io/http_server.h"

#include <httplib.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/limits.h"
#include "common/metrics.h"

namespace common::io {

namespace {

using Clock = std::chrono::steady_clock;

// A connection with a deadline and a budget for the whole of it. The library's own stream bounds
// each read alone, so that a peer who sends a byte a second could keep a thread for hours.
class BoundedStream : public httplib::Stream {
public:
    explicit BoundedStream(socket_t socket)
        : socket_(socket), end_(Clock::now() + Millis(limits::kHttpRequestMsMax)) {}

    bool is_readable() const override { return bytes_left_ > 0 && wait_for(POLLIN); }
    bool is_writable() const override { return wait_for(POLLOUT); }

    ssize_t read(char* data, size_t size) override {
        if (!is_readable()) {
            return -1;
        }
        const ssize_t got = ::recv(socket_, data, std::min(size, bytes_left_), 0);
        if (got > 0) {
            bytes_left_ -= static_cast<size_t>(got);
        }
        return got;
    }

    ssize_t write(const char* data, size_t size) override {
        return is_writable() ? ::send(socket_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
    }

    void get_remote_ip_and_port(std::string& ip, int& port) const override {
        ip.clear();
        port = 0;
    }
    void get_local_ip_and_port(std::string& ip, int& port) const override {
        ip.clear();
        port = 0;
    }
    socket_t socket() const override { return socket_; }

private:
    bool wait_for(short events) const {
        const auto left = std::chrono::duration_cast<Millis>(end_ - Clock::now());
        pollfd item{socket_, events, 0};
        return left.count() > 0 && ::poll(&item, 1, static_cast<int>(left.count())) == 1;
    }

    socket_t socket_;
    Clock::time_point end_;
    size_t bytes_left_ = limits::kHttpRequestBytesMax;
};

class BoundedServer : public httplib::Server {
private:
    bool process_and_close_socket(socket_t socket) override {
        BoundedStream stream(socket);
        bool closed = false;
        const bool ok = [&](auto& self) {
            if constexpr (requires { self.process_request(stream, true, closed, nullptr); }) {
                return self.process_request(stream, true, closed, nullptr);
            } else {  // newer versions of the library want both addresses as well
                return self.process_request(stream, {}, 0, {}, 0, true, closed, nullptr);
            }
        }(*this);
        ::shutdown(socket, SHUT_RDWR);
        ::close(socket);
        return ok;
    }
};

// A fixed number of threads; connections beyond them wait in the kernel's (bounded) queue, because
// the accepting thread waits here.
class BoundedPool : public httplib::TaskQueue {
public:
    BoundedPool() {
        for (std::size_t i = 0; i < limits::kHttpThreads; ++i) {
            threads_.emplace_back([this] { work(); });
        }
    }

    // void, in newer versions of the library bool.
    using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(nullptr));

    Enqueued enqueue(std::function<void()> job) override {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return idle_ > jobs_.size(); });
        jobs_.push_back(std::move(job));
        changed_.notify_all();
        return Enqueued(true);
    }

    void shutdown() override {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            changed_.notify_all();
        }
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }

private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            ++idle_;
            changed_.notify_all();
            changed_.wait(lock, [this] { return !jobs_.empty() || stopping_; });
            --idle_;
            if (jobs_.empty()) {
                return;
            }
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    std::size_t idle_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

// The library would also set SO_REUSEPORT, and two processes would silently share a port.
void set_listener_options(socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

}  // namespace

struct HttpServer::Impl {
    std::mutex mutex;
    bool healthy = false;
    std::string json = "{}";
    std::string metrics;

    BoundedServer server;
    std::thread thread;
    std::atomic<bool> ended{false};  // the thread is over
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::open(const HostPort& address) {
    auto impl = std::make_unique<Impl>();
    Impl& shared = *impl;
    BoundedServer& server = impl->server;
    server.set_socket_options(set_listener_options);
    server.set_payload_max_length(limits::kHttpRequestBytesMax);
    server.new_task_queue = [] { return new BoundedPool; };
    server.Get("/health", [&shared](const httplib::Request&, httplib::Response& response) {
        const std::lock_guard lock(shared.mutex);
        response.status = shared.healthy ? 200 : 503;
        response.set_content(shared.json, "application/json");
    });
    server.Get("/metrics", [&shared](const httplib::Request&, httplib::Response& response) {
        const std::lock_guard lock(shared.mutex);
        response.set_content(shared.metrics, Metrics::kContentType);
    });
    if (!server.is_valid() || !server.bind_to_port(address.host, address.port)) {
        return fail(ErrorKind::Busy, "cannot listen for health requests at " + to_string(address) +
                                         ": it is in use or no address of this machine; set "
                                         "HEALTH to another host:port, or to off");
    }
    impl->thread = std::thread([&shared] {
        shared.server.listen_after_bind();
        shared.ended = true;
    });
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() {
    // stop() before the thread has begun to listen would be overlooked.
    while (!impl_->server.is_running() && !impl_->ended) {
        std::this_thread::sleep_for(Millis(1));
    }
    impl_->server.stop();
    impl_->thread.join();
}

void HttpServer::publish(bool healthy, std::string json, std::string metrics) {
    const std::lock_guard lock(impl_->mutex);
    impl_->healthy = healthy;
    impl_->json = std::move(json);
    impl_->metrics = std::move(metrics);
}

Result<HttpAnswer> http_get(const HostPort& address, const std::string& path) {
    httplib::Client client(address.host, address.port);
    client.set_connection_timeout(2);
    client.set_read_timeout(3);
    client.set_write_timeout(2);
    const httplib::Result result = client.Get(path);
    if (!result) {
        return fail(ErrorKind::Io, "no answer from " + to_string(address) + " (" +
                                       httplib::to_string(result.error()) + ")");
    }
    return HttpAnswer{result->status, result->body};
}

int print_health(const HostPort& address) {
    if (address.off()) {
        std::fputs("HEALTH is off: there is nobody to ask\n", stderr);
        return 1;
    }
    // What listens on every address is asked on this machine's own.
    HostPort asked = address;
    if (asked.host == "0.0.0.0") {
        asked.host = "127.0.0.1";
    } else if (asked.host == "::") {
        asked.host = "::1";
    }
    const Result<HttpAnswer> answer = http_get(asked, "/health");
    if (!answer) {
        std::fprintf(stderr, "%s\n", answer.error().what.c_str());
        return 1;
    }
    std::printf("%s\n", answer->body.c_str());
    return answer->status == 200 ? 0 : 1;
}

}  // namespace common::io
