# Shared by serve, test and the Dockerfile: which packages are needed, how they are installed and
# how a build directory is made. Sourced by bash, with `root` set to the top of the tree.

# What it takes to build the two programs.
build_packages=(
    g++ meson ninja-build pkg-config
    libzmq3-dev cppzmq-dev libmsgpack-cxx-dev libspdlog-dev libxxhash-dev libsqlite3-dev libisal-dev zlib1g-dev
    libjemalloc-dev
    nlohmann-json3-dev libexpected-dev libcpp-httplib-dev
)
# What the tests need beside that.
test_packages=(doctest-dev python3 python3-venv clang-format)

say() { printf '[%s] %s\n' "${who:-holdfast}" "$*"; }
die() { say "$*" >&2; exit 1; }

# Installs those of the named Debian packages that are missing; says what it does. Where there is no
# apt it names them and goes on: the build says what it cannot find.
install_packages() {
    command -v dpkg-query >/dev/null || { say "no apt on this machine; needed: $*"; return 0; }
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "missing: ${missing[*]}. Install them as root with: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing with apt: ${missing[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    # One broken source among the machine's own must not stop us: the installation decides.
    "${apt[@]}" update </dev/null >/dev/null || say "apt-get update had complaints; trying to go on"
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
        die "apt could not install: ${missing[*]}"
    say "installed"
}

# One compiler per processor, but not more than the memory holds (1.5 GB each, sanitizers included).
compile_jobs() {
    local processors memory_kb by_memory
    processors=$(nproc)
    memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
    by_memory=$((${memory_kb:-3000000} / 1500000))
    ((by_memory >= 1)) || by_memory=1
    echo $((processors < by_memory ? processors : by_memory))
}

# configure DIRECTORY MESON_OPTION...: anew when the directory is new, was moved, or when a source
# file appeared or went (meson.build asks the tree for them and would not notice).
configure() {
    local directory=$1 key log
    shift
    log=$directory/configure.log
    key=$root$'\n'$*$'\n'$(cd "$root" && find meson.build meson_options.txt common broker snapshotter tests \
        -name '*.cpp' -o -name 'meson*' | LC_ALL=C sort)
    [[ -f $directory/build.ninja && $key == "$(cat "$directory/.configured" 2>/dev/null)" ]] && return
    say "configuring ${directory#"$root"/}"
    if [[ -f $directory/build.ninja && $(head -n 1 "$directory/.configured" 2>/dev/null) == "$root" ]] &&
        meson setup --reconfigure "$directory" "$root" "$@" </dev/null >"$log" 2>&1; then
        :
    else
        find "$directory" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
        meson setup "$directory" "$root" "$@" </dev/null >"$log" 2>&1 ||
            { cat "$log" >&2; die "meson could not configure the build"; }
    fi
    printf '%s\n' "$key" >"$directory/.configured"
}

# build DIRECTORY MESON_OPTION...: configures and compiles what changed. Prints nothing when all is
# up to date. Several may call this at once for one directory; they take turns.
build() {
    local directory=$1 lock
    mkdir -p "$directory"
    exec {lock}>"$directory/.lock"
    flock "$lock"
    configure "$@"
    if ! ninja -C "$directory" -n 2>/dev/null | grep -q 'no work to do'; then
        say "building ${directory#"$root"/} (the first time this takes some minutes)"
        ninja -C "$directory" -j "$(compile_jobs)" </dev/null || die "the build failed"
        say "built ${directory#"$root"/}"
    fi
    exec {lock}>&-
}
