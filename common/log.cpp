#include "common/log.h"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "common/limits.h"

namespace common {

namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::Trace:
            return spdlog::level::trace;
        case LogLevel::Debug:
            return spdlog::level::debug;
        case LogLevel::Info:
            return spdlog::level::info;
        case LogLevel::Warning:
            return spdlog::level::warn;
        case LogLevel::Error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

// The level as five letters, so that messages stand below each other.
class LevelWord : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& line, const std::tm&,
                spdlog::memory_buf_t& out) override {
        static constexpr std::string_view kWords[] = {"TRACE", "DEBUG", "INFO ", "WARN ",
                                                      "ERROR", "FATAL", "     "};
        const std::string_view word = kWords[static_cast<std::size_t>(line.level)];
        out.append(word.data(), word.data() + word.size());
    }

    std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<LevelWord>();
    }
};

std::unique_ptr<spdlog::formatter> make_formatter() {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<LevelWord>('*').set_pattern("%Y-%m-%d %H:%M:%S.%e %* %v");
    return formatter;
}

// spdlog's own sink for stdout writes through stdio, whose lock a stopped terminal would hold when
// the process wants to exit.
class DescriptorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}

protected:
    void sink_it_(const spdlog::details::log_msg& line) override {
        spdlog::memory_buf_t text;
        formatter_->format(line, text);
        const char* data = text.data();
        std::size_t left = text.size();
        while (left > 0) {
            const ssize_t written = ::write(descriptor_, data, left);
            if (written >= 0) {
                data += written;
                left -= static_cast<std::size_t>(written);
            } else if (errno == EAGAIN) {
                // Somebody made the terminal we share with him non-blocking.
                pollfd item{descriptor_, POLLOUT, 0};
                ::poll(&item, 1, -1);
            } else if (errno != EINTR) {
                spdlog::throw_spdlog_ex("cannot write to the terminal", errno);
            }
        }
    }

    void flush_() override {}

private:
    int descriptor_;
};

// What a queue has seen. Outlives its Log if the thread hangs.
struct Counts {
    std::atomic<std::uint64_t> posted{0};
    std::atomic<std::uint64_t> handled{0};  // written or failed
    std::atomic<std::uint64_t> failed{0};
    // Told by the thread that writes, so that everybody may read it without the queue's lock.
    std::atomic<std::uint64_t> overrun{0};
};

// Stands before a terminal's or file's sink, in its queue's thread: counts, and speaks up for lines
// that are missing as soon as something can be written again.
class CountingSink : public spdlog::sinks::sink {
public:
    CountingSink(spdlog::sink_ptr inner, std::shared_ptr<Counts> counts,
                 std::weak_ptr<spdlog::details::thread_pool> pool)
        : inner_(std::move(inner)), counts_(std::move(counts)), pool_(std::move(pool)) {}

    void log(const spdlog::details::log_msg& line) override {
        if (const auto pool = pool_.lock()) {
            counts_->overrun = pool->overrun_counter();
        }
        const std::uint64_t missing = counts_->overrun + counts_->failed;
        if (missing > told_) {
            const std::string text = std::to_string(missing - told_) +
                                     " log lines are missing here: they could not be written";
            const spdlog::details::log_msg notice(line.logger_name, spdlog::level::warn, text);
            if (try_write(notice)) {
                told_ = missing;
            }
        }
        if (!try_write(line)) {
            ++counts_->failed;
        }
        ++counts_->handled;
    }

    void flush() override {}
    void set_pattern(const std::string& pattern) override { inner_->set_pattern(pattern); }
    void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
        inner_->set_formatter(std::move(formatter));
    }

private:
    bool try_write(const spdlog::details::log_msg& line) {
        try {
            inner_->log(line);
            inner_->flush();
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }

    spdlog::sink_ptr inner_;
    std::shared_ptr<Counts> counts_;
    std::weak_ptr<spdlog::details::thread_pool> pool_;
    std::uint64_t told_ = 0;
};

// One queue with one thread that writes to one place.
struct Outlet {
    std::shared_ptr<Counts> counts = std::make_shared<Counts>();
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> logger;

    Outlet(const spdlog::sink_ptr& sink, const LogOptions& options) {
        pool = std::make_shared<spdlog::details::thread_pool>(options.lines_max, 1U);
        logger = std::make_shared<spdlog::async_logger>(
            "holdfast", std::make_shared<CountingSink>(sink, counts, pool), pool,
            spdlog::async_overflow_policy::overrun_oldest);
        logger->set_formatter(make_formatter());
        logger->set_level(to_spdlog(options.level));
        // Not to stderr, which may hang just as well.
        logger->set_error_handler([counted = counts](const std::string&) { ++counted->failed; });
    }

    bool is_empty() const { return counts->handled + pool->overrun_counter() >= counts->posted; }

    // Leaves a thread that hangs behind: the destructor would wait for it. What it uses lives on.
    void abandon() {
        static auto& abandoned = *new std::vector<std::shared_ptr<spdlog::details::thread_pool>>;
        abandoned.push_back(pool);
    }
};

}  // namespace

struct Log::Impl {
    LogLevel level = LogLevel::Info;
    std::vector<Outlet> outlets;
};

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Log>> Log::open(const LogOptions& options) {
    auto impl = std::make_unique<Impl>();
    impl->level = options.level;
    try {
        impl->outlets.emplace_back(std::make_shared<DescriptorSink>(options.terminal), options);
        if (!options.file.empty()) {
            impl->outlets.emplace_back(
                std::make_shared<spdlog::sinks::rotating_file_sink_st>(
                    options.file, limits::kLogFileBytesMax, limits::kLogFilesMax),
                options);
        }
    } catch (const std::exception& error) {
        return fail(ErrorKind::Io, std::string("cannot log: ") + error.what());
    }
    return std::unique_ptr<Log>(new Log(std::move(impl)));
}

Log::~Log() {
    flush(std::chrono::seconds(1));
    for (Outlet& outlet : impl_->outlets) {
        if (!outlet.is_empty()) {
            outlet.abandon();
        }
    }
}

void Log::write(LogLevel level, std::string_view line) {
    if (!shows(level)) {
        return;
    }
    const std::string_view cut = line.substr(0, limits::kLogLineBytesMax);
    for (Outlet& outlet : impl_->outlets) {
        ++outlet.counts->posted;
        outlet.logger->log(to_spdlog(level), spdlog::string_view_t(cut.data(), cut.size()));
    }
}

bool Log::shows(LogLevel level) const {
    return level >= impl_->level;
}

std::uint64_t Log::lost() const {
    std::uint64_t most = 0;
    for (const Outlet& outlet : impl_->outlets) {
        most =
            std::max<std::uint64_t>(most, outlet.counts->failed + outlet.pool->overrun_counter());
    }
    return most;
}

bool Log::flush(std::chrono::milliseconds wait_max) {
    const auto end = std::chrono::steady_clock::now() + wait_max;
    const auto all_empty = [this] {
        return std::all_of(impl_->outlets.begin(), impl_->outlets.end(),
                           [](const Outlet& outlet) { return outlet.is_empty(); });
    };
    // spdlog tells nobody when its queue is empty, and this is the end of a process or a test.
    while (!all_empty()) {
        if (std::chrono::steady_clock::now() >= end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

std::string log_text(std::string_view text, std::size_t bytes_max) {
    static constexpr char kHex[] = "0123456789abcdef";
    // The length of the UTF-8 sequence at the start of `rest`, 0 if there is none.
    const auto sequence_length = [](std::string_view rest) -> std::size_t {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
        const unsigned char first = byte(0);
        const std::size_t length = first < 0x80                    ? 1
                                   : first >= 0xC2 && first < 0xE0 ? 2
                                   : first >= 0xE0 && first < 0xF0 ? 3
                                   : first >= 0xF0 && first < 0xF5 ? 4
                                                                   : 0;
        if (length > rest.size()) {
            return 0;
        }
        for (std::size_t i = 1; i < length; ++i) {
            if ((byte(i) & 0xC0) != 0x80) {
                return 0;
            }
        }
        return length;
    };

    std::string safe;
    while (!text.empty()) {
        const auto first = static_cast<unsigned char>(text.front());
        std::size_t length = sequence_length(text);
        std::string piece;
        // C1 control characters (U+0080 to U+009F) can be commands to a terminal, too; and the
        // separators U+2028 and U+2029 are line ends to some.
        const bool is_control =
            first < 0x20 || first == 0x7F || text.starts_with("\u2028") ||
            text.starts_with("\u2029") ||
            (length == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
        if (first == '\\') {
            piece = "\\\\";
        } else if (first == '\n') {
            piece = "\\n";
        } else if (first == '\r') {
            piece = "\\r";
        } else if (first == '\t') {
            piece = "\\t";
        } else if (length > 0 && !is_control) {
            piece = text.substr(0, length);
        } else {
            length = std::max<std::size_t>(length, 1);
            for (const char c : text.substr(0, length)) {
                const auto byte = static_cast<unsigned char>(c);
                piece += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
            }
        }
        if (safe.size() + piece.size() > bytes_max) {
            return safe + "...";
        }
        safe += piece;
        text.remove_prefix(length);
    }
    return safe;
}

}  // namespace common
