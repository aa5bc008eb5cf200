"""Rules that a program can check: reads the tree and names what breaks one.

Run by scripts/test; by hand: python3 tests/tidy_test.py. The rooms and their arrows are those of
docs/ARCHITECTURE.md; a new file gets its line here in the same commit.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A file may include what stands before it in the list of its own room, and common/. A source that
# belongs to a longer name, like session_edits.cpp to session, stands under the shorter one.
ROOMS = {
    "common": """
        verify result limits ids progress bytes secret value extent pickle
        delta_convert delta_path delta_order delta_any_set delta node mutation graph tidying feed feed_stream position_json
        whole file_error stream_hash gzip session_file config log log_limiter stall_watch metrics
        io/clock io/scheduling io/random io/zmq_socket io/signals io/http_server""",
    "broker": """
        channel first_bytes gatekeeper effects wire heartbeat outbox roster transfer session
        publisher restore_client resync durability feed_sender framing assembly zmtp framed connection listener status
        options loop main""",
    "snapshotter": """
        storage/file_system storage/posix_file_system storage/file_names
        storage/atomic_file storage/metadata storage/packing storage/sqlite
        storage/history_segment storage/history_reader storage/history storage/recovery
        storage/disk_use storage/disk_use_json retention storage/session_reader
        storage/store
        restore_server schedule trouble mirror handover stopping save_worker history_queue history_worker
        status options
        commands/save_now commands/command_line commands/time_text commands/graph_view
        commands/moments commands/session_change commands/commands
        commands/list commands/verify commands/inspect commands/export commands/import
        commands/restore commands/remove_node commands/pin commands/report commands/run
        loop main""",
}
ROOMS = {room: names.split() for room, names in ROOMS.items()}

# Compiled by itself and read before every file of a test build: it has no place in the order.
PRECOMPILED = "common/precompiled/std.h"

# Who may include a library. Tests may.
LIBRARIES = {
    r"zmq\.hpp|zmq\.h": ["common/io/zmq_socket.cpp"],
    r"spdlog/.*": ["common/log.cpp"],
    r"httplib\.h": ["common/io/http_server.cpp"],
    r"msgpack(/.*)?(\.hpp|\.h)": ["common/feed.cpp", "common/whole.cpp"],
    r"nlohmann/.*": ["broker/status.cpp", "snapshotter/status.cpp", "snapshotter/storage/metadata.cpp",
                       "snapshotter/commands/report_json.cpp"],
    r"sqlite3\.h": ["snapshotter/storage/sqlite.cpp"],
    r"tl/expected\.hpp": ["common/result.h"],
    r"isa-l(/.*)?\.h": ["common/gzip.cpp"],
    r"zlib\.h": [],  # tests only, to compare with
    # The rim: everything else knows no socket, no file and no signal.
    r"sys/(socket|epoll|eventfd|signalfd|timerfd|file|stat|resource)\.h|netinet/.*|arpa/.*"
    r"|netdb\.h|fcntl\.h|unistd\.h|poll\.h|dirent\.h|csignal|signal\.h|fstream|filesystem|random": [
        "common/io/",
        "common/config.cpp",
        "common/log.cpp",
        "common/secret.cpp",
        "common/value.cpp",  # the seed of its hashes
        "broker/connection.cpp",
        "broker/listener.cpp",
        "broker/loop.cpp",
        "broker/main.cpp",
        "snapshotter/storage/posix_file_system.cpp",
        "snapshotter/save_worker.cpp",  # its thread wakes the loop through a descriptor
        "snapshotter/history_worker.cpp",  # the same
        "snapshotter/loop.cpp",
        "snapshotter/main.cpp",
    ],
}

# Sources without a unit test of their own, with the reason.
UNTESTED = {
    "broker/main": "wiring only; run by every interop test",
    "broker/loop": "performs effects on real sockets; run by every interop test",
    "snapshotter/commands/save_now": "a conversation with running processes; an interop test",
    "snapshotter/commands/run": "the real disk, standard output; run by an interop test",
    "snapshotter/main": "wiring only; run by every interop test",
    "snapshotter/loop": "performs effects on real sockets; run by every interop test",
}

# Sources whose test has another name: conversations are transcripts.
TESTED_BY = {"broker/session": "tests/broker/session_transcript_test.cpp"}
# The commands share their test: a directory, what they do to it, and what they say.
TESTED_BY |= {
    "snapshotter/commands/" + name: "tests/snapshotter/commands/commands_test.cpp"
    for name in """session_change list verify inspect export import restore remove_node pin
        report""".split()
}

LINE_LENGTH_MAX = 100
# Long lines that cannot be broken.
LONG_LINES_IN = ("LICENSE", "tests/corpus/", "tests/transcripts/")
TEXT = {".h", ".cpp", ".py", ".md", ".build", ".txt", ".yaml", ".yml", ".sh", ""}

complaints = []


def complain(path, line, text):
    complaints.append(f"{path}{':' + str(line) if line else ''}: {text}")


def tracked_files():
    """What git knows, or what is there when this is no checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        )
        names = listed.stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "data", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, name), ROOT) for name in files]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def split(path):
    """room, name without ending: ('broker', 'session_edits') for broker/session_edits.cpp."""
    room, _, rest = path.partition("/")
    return room, rest.rpartition(".")[0]


def module(room, name):
    """The entry of ROOMS that `name` belongs to, or None."""
    while name:
        if name in ROOMS[room]:
            return name
        name = name.rpartition("_")[0]
    return None


def check_include(path, number, system, target):
    """One #include of a file in a room."""
    if system:
        for pattern, allowed in LIBRARIES.items():
            if re.fullmatch(pattern, target) and not path.startswith(tuple(allowed)):
                complain(path, number, f"<{target}> may only be included by {', '.join(allowed)}")
        return
    room, name = split(path)
    target_room, target_name = split(target)
    if target_room not in ROOMS or not (ROOT / target).is_file():
        complain(path, number, f'"{target}" is no file of ours, written from the root')
        return
    if target_room != room:
        if target_room != "common":
            complain(path, number, f"{room}/ must not know {target_room}/")
        return
    order = ROOMS[room]
    mine, theirs = module(room, name), module(room, target_name)
    if mine and theirs and order.index(theirs) > order.index(mine):
        complain(path, number, f"the arrow to {target} points up: it stands below {mine}")


def check_rooms(files):
    for path in files:
        room, name = split(path)
        if room not in ROOMS or not path.endswith((".h", ".cpp")) or path == PRECOMPILED:
            continue
        if module(room, name) is None:
            complain(path, 0, f"has no line in ROOMS of {pathlib.Path(__file__).name}")
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+(?:<([^>]+)>|"([^"]+)")', line)
            if found:
                check_include(path, number, found[1] is not None, found[1] or found[2])
        if path.endswith(".h") and "#pragma once" not in (ROOT / path).read_text():
            complain(path, 0, "a header without #pragma once")


def check_tests_and_lists(files):
    for path in files:
        room, name = split(path)
        if not path.endswith(".cpp"):
            continue
        if room in ROOMS:
            belongs_to = module(room, name) or name
            unit = f"{room}/{belongs_to}"
            if unit not in UNTESTED and TESTED_BY.get(unit) not in files and not any(
                f"tests/{room}/{candidate}_test.cpp" in files or f"tests/{candidate}_test.cpp" in files
                for candidate in (name, belongs_to)
            ):
                complain(path, 0, f"has no tests/{room}/{name}_test.cpp")
            listing = ROOT / ("meson.build" if name == "main" else f"{room}/meson.build")
            if not re.search(rf"'{re.escape(name)}(\.cpp)?'|/ '{name}\.cpp'", listing.read_text()):
                complain(path, 0, f"dead file: not named in {listing.relative_to(ROOT)}")
        elif room == "tests" and not re.match(
            r"tests/((common|broker|snapshotter)/.*_test|support/.*)\.cpp", path
        ):
            lists = [ROOT / f for f in files if f.startswith("tests") and f.endswith("meson.build")]
            base = os.path.basename(path)
            stem = base.removesuffix(".cpp")
            if not any(re.search(rf"\b{re.escape(stem)}\b", one.read_text()) for one in lists):
                complain(path, 0, "dead file: not named in a meson.build below tests/")


def check_text(files):
    mark = "TO" + "DO"
    for path in files:
        suffix = pathlib.PurePath(path).suffix
        if suffix not in TEXT:
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            complain(path, 0, "is not UTF-8")
            continue
        if text and not text.endswith("\n"):
            complain(path, 0, "does not end with a line break")
        for number, line in enumerate(text.splitlines(), 1):
            if "\t" in line:
                complain(path, number, "a tab")
            if line.rstrip() != line and not path.startswith(LONG_LINES_IN):
                complain(path, number, "blanks at the end of the line")
            if mark in line:
                complain(path, number, "an unfinished thing belongs into an issue")
            # Prose and Dockerfiles wrap where they like; code does not.
            if (suffix in (".h", ".cpp") and len(line) > LINE_LENGTH_MAX
                    and "http" not in line and not path.startswith(LONG_LINES_IN)):
                complain(path, number, f"longer than {LINE_LENGTH_MAX} columns")


def check_links(files):
    """A link in a page names something that exists, also where it names a file in `code`."""
    for path in files:
        if not path.endswith(".md"):
            continue
        page = ROOT / path
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if "://" not in target and not (page.parent / target).exists():
                    complain(path, number, f"links to {target}, which does not exist")


def table_rows(text):
    """name -> (flag, default) of the rows of README's settings table."""
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[A-Z_]+", cells[0]):
            rows[cells[0]] = (cells[1], cells[2])
    return rows


def check_settings_table():
    """README's table of settings says what the table in common/config.cpp says."""
    source = (ROOT / "common/config.cpp").read_text()
    rows = table_rows((ROOT / "README.md").read_text())
    settings = {
        name: (flag, default)
        for name, flag, default in re.findall(
            r'\{"([A-Z_]+)", "(--[a-z-]+)", "([^"]*)", UsedBy::', source
        )
    }
    if not settings:
        complain("common/config.cpp", 0, "the table of settings is not where this test looks")
    for name in sorted(settings.keys() | rows.keys()):
        if name not in rows:
            complain("README.md", 0, f"the settings table has no {name}")
        elif name not in settings:
            complain("README.md", 0, f"the settings table has {name}, which does not exist")
        elif rows[name] != settings[name]:
            complain("README.md", 0, f"{name} is {settings[name]}, the table says {rows[name]}")


def check_clients_table():
    """README's table of clients says what the tests' own table says."""
    sys.path.insert(0, str(ROOT / "tests/interop"))
    import versions

    ports = {"zmtp": "PORT (5555)", "framed": "FRAMED_PORT (5560)"}
    depths = {"everything": "all", "smoke": "a smoke test"}
    wanted = [[one.package, one.reports, ports[one.generation], depths[one.tested]]
              for one in versions.VERSIONS]
    rows = []
    for line in (ROOT / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and re.match(r"0\.\d+\.\d+", cells[0]):
            rows.append([cells[0].split(" ")[0], *cells[1:]])
    if rows != wanted:
        complain("README.md", 0, f"the table of clients is {rows}, the tests have {wanted}")


def check_compose_settings():
    """compose.yaml passes every setting on, but for those that OPERATIONS names as its own."""
    compose = (ROOT / "compose.yaml").read_text()
    operations = (ROOT / "docs/OPERATIONS.md").read_text()
    found = re.search(r"Not for you to set here: ([^.]*)\.", operations)
    own = set(re.findall(r"`([A-Z_]+)`", found[1])) if found else set()
    for name in table_rows((ROOT / "README.md").read_text()):
        passed = re.search(r"\$\{" + name + r":-", compose) is not None
        if passed == (name in own):
            complain("compose.yaml", 0, f"{name} is {'' if passed else 'not '}passed on; "
                     f"docs/OPERATIONS.md says {'that it is not' if name in own else 'that it is'}")
        if passed and f"`{name}`" not in operations.partition("**Containers:**")[2].partition("\n\n#")[0]:
            complain("docs/OPERATIONS.md", 0, f"the table for containers has no {name}")


def check_metrics_table():
    """OPERATIONS names every metric of the two programs, and no others; `..._x` is the end of a name."""
    operations = (ROOT / "docs/OPERATIONS.md").read_text()
    told = re.findall(r"`(holdfast_[a-z_]+|\.\.\._[a-z_]+)", operations)
    metrics = [name for room in ("broker", "snapshotter") for name in
               re.findall(r'"(holdfast_[a-z_]+)"', (ROOT / room / "status.cpp").read_text())]

    def means(words, name):
        return name.endswith(words[3:]) if words.startswith("...") else name == words

    for name in metrics:
        if not any(means(words, name) for words in told):
            complain("docs/OPERATIONS.md", 0, f"the metric {name} is not told")
    for words in told:
        if not any(means(words, name) for name in metrics):
            complain("docs/OPERATIONS.md", 0, f"there is no metric {words}")


def main():
    files = tracked_files()
    check_rooms(files)
    check_tests_and_lists(set(files))
    check_text(files)
    check_links(files)
    check_settings_table()
    check_clients_table()
    check_compose_settings()
    check_metrics_table()
    for complaint in sorted(complaints):
        print(complaint)
    print(f"tidy: {len(files)} files, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
