#include "snapshotter/retention.h"

#include <algorithm>

namespace snapshotter {

using file_names::Backup;

std::vector<std::string> backups_to_remove(const std::vector<BackupFile>& files,
                                           const RetentionPolicy& policy,
                                           const file_names::LocalTime& now) {
    struct Candidate {
        Backup backup;
        bool verified = false;
    };
    std::vector<Candidate> candidates;
    bool has_verified = false;
    for (const BackupFile& file : files) {
        const std::optional<Backup> backup = file_names::parse_backup(file.name);
        if (!backup || backup->pinned || backup->time > now) {
            continue;
        }
        candidates.push_back({*backup, file.verified});
        has_verified = has_verified || file.verified;
    }
    if (!has_verified) {
        return {};
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.backup > b.backup; });

    std::vector<std::string> result;
    const std::size_t keep = std::max<std::size_t>(policy.backups_max, 1);
    bool kept_verified = false;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const bool stays = i < keep || (candidates[i].verified && !kept_verified);
        kept_verified = kept_verified || candidates[i].verified;
        if (!stays) {
            result.push_back(name_of(candidates[i].backup));
        }
    }
    std::reverse(result.begin(), result.end());
    return result;
}

}  // namespace snapshotter
