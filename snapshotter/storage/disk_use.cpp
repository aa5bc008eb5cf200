#include "snapshotter/storage/disk_use.h"

#include <cstdio>
#include <optional>
#include <vector>

#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::ErrorKind;
using common::Result;
using file_names::join;

namespace {

Result<std::vector<std::string>> names_in(FileSystem& files, const std::string& directory) {
    Result<std::vector<std::string>> names = files.list(directory);
    if (!names && names.error().kind == ErrorKind::NotFound) {
        return std::vector<std::string>();
    }
    return names;
}

Result<void> count(FileSystem& files, const std::string& path, DiskUse::Kind& kind) {
    const Result<FileInfo> info = files.stat(path);
    if (info) {
        ++kind.files;
        kind.bytes += info->bytes;
        return {};
    }
    return info.error().kind == ErrorKind::NotFound ? Result<void>() : tl::unexpected(info.error());
}

void describe(std::string& text, const DiskUse::Kind& kind, const char* what) {
    if (kind.files > 0) {
        text += ", " + std::to_string(kind.files) + " " + what + " " + readable_bytes(kind.bytes);
    }
}

}  // namespace

DiskUse::Kind DiskUse::all() const {
    Kind sum;
    for (const Kind& kind : {session, backups, pinned, history, quarantine}) {
        sum.files += kind.files;
        sum.bytes += kind.bytes;
    }
    return sum;
}

Result<DiskUse> disk_use(FileSystem& files, const std::string& data_dir) {
    DiskUse use;
    TRY(count(files, join(data_dir, file_names::kSession), use.session));
    const std::string backups = join(data_dir, file_names::kBackups);
    for (const std::string& name : TRY(names_in(files, backups))) {
        if (const auto backup = file_names::parse_backup(name)) {
            TRY(count(files, join(backups, name), backup->pinned ? use.pinned : use.backups));
        }
    }
    const std::string quarantine = join(data_dir, file_names::kQuarantine);
    for (const std::string& name : TRY(names_in(files, quarantine))) {
        TRY(count(files, join(quarantine, name), use.quarantine));
    }
    const std::string history = join(data_dir, file_names::kHistory);
    for (const std::string& name : TRY(names_in(files, history))) {
        TRY(count(files, join(history, name), use.history));
    }
    return use;
}

std::string to_string(const DiskUse& use) {
    std::string text = readable_bytes(use.all().bytes);
    text += ": session " + readable_bytes(use.session.bytes);
    describe(text, use.backups, "backups");
    describe(text, use.pinned, "pinned");
    if (use.history.files > 0) {
        text += ", history " + readable_bytes(use.history.bytes);
    }
    describe(text, use.quarantine, "in quarantine");
    return text;
}

std::string readable_bytes(std::uint64_t bytes) {
    char text[32];
    if (bytes < 10'000) {
        std::snprintf(text, sizeof text, "%u bytes", static_cast<unsigned>(bytes));
    } else if (bytes < 1'000'000) {
        std::snprintf(text, sizeof text, "%.0f KiB", static_cast<double>(bytes) / (1 << 10));
    } else {
        std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
    }
    return text;
}

}  // namespace snapshotter
