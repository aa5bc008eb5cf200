"""Provides the base image debian:bookworm-slim where it is missing.

In turn: the image that is there, a pull, and debootstrap (as root) with what this machine's own apt
settings name: its mirror, its proxy, its certificates. Such an image is small and plain like the
original, and apt works in it wherever apt works on this machine. Nothing of this is written down
here: it is read when it is needed.

By hand: python3 tests/interop/base_image.py
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

IMAGE = "debian:bookworm-slim"
RELEASE = "bookworm"
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# What of apt's settings decides whether it reaches its mirror.
APT_SETTINGS = re.compile(
    r"Acquire::(?:Check-(?:Valid-Until|Date)|Retries"
    r"|https?::(?:[^ ]*::)?(?:Proxy|Verify-Peer|Verify-Host|Timeout)) "
)


class Unavailable(Exception):
    """No image, and why."""


def run(*command, timeout=900, **options):
    return subprocess.run(
        command,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def old_style_sources(text):
    """Lines like: deb [option=value] URI SUITE COMPONENT..."""
    for line in text.splitlines():
        match = re.match(r"deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match:
            yield match[2], match[3], match[4].split()


def deb822_sources(text):
    """Paragraphs like: Types: deb, URIs: ..., Suites: ..., Components: ..."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {}
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t":
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.lower()
                fields[name] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield uri, suite, fields.get("components", "").split()


def apt_sources():
    """(uri, suite, components) of this machine's apt that belong to our release."""
    apt = pathlib.Path("/etc/apt")
    found = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            parse = deb822_sources if path.suffix == ".sources" else old_style_sources
            found += parse(path.read_text(errors="replace"))
    return [
        (uri, suite, ["main"])
        for uri, suite, components in dict.fromkeys(
            (uri, suite, tuple(components)) for uri, suite, components in found
        )
        # Other releases and other vendors' packages are not the base system; and a password that
        # stands in an address stays where it is.
        if suite in (RELEASE, RELEASE + "-updates", RELEASE + "-security")
        and "main" in components
        and urllib.parse.urlsplit(uri).scheme in ("http", "https")
        and "@" not in uri
    ]


def apt_settings():
    """Lines for an apt.conf: this machine's settings and the proxy of the environment."""
    dump = run("apt-config", "dump").stdout
    lines = [line for line in dump.splitlines() if APT_SETTINGS.match(line) and "@" not in line]
    for scheme in ("http", "https"):
        proxy = os.environ.get(f"{scheme}_proxy", "")
        if proxy and "@" not in proxy:
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return lines


def debootstrap(root):
    sources = apt_sources()
    base = [uri for uri, suite, _ in sources if suite == RELEASE]
    if not base:
        raise Unavailable(f"this machine's apt knows no mirror of Debian {RELEASE}")
    made = run("debootstrap", "--variant=minbase", RELEASE, str(root), base[0])
    if made.returncode != 0:
        raise Unavailable("debootstrap failed:\n" + "\n".join(made.stdout.splitlines()[-5:]))

    apt = root / "etc/apt"
    (apt / "sources.list").write_text(
        "".join(f"deb {uri} {suite} {' '.join(components)}\n" for uri, suite, components in sources)
    )
    (apt / "apt.conf.d/90machine").write_text("".join(line + "\n" for line in apt_settings()))
    if CERTIFICATES.is_file():
        (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
    # As slim as the original.
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for folder in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def ensure():
    """Returns in words where the image came from; raises Unavailable."""
    if run("docker", "image", "inspect", IMAGE).returncode == 0:
        return f"{IMAGE} is there"
    try:
        pulled = run("docker", "pull", IMAGE, timeout=300)
        if pulled.returncode == 0:
            return f"{IMAGE} was pulled"
        reason = pulled.stdout.strip().splitlines()[-1:]
    except subprocess.TimeoutExpired:
        reason = ["the pull took too long"]
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise Unavailable(f"no image {IMAGE}: {' '.join(reason)}; to make it locally takes root and debootstrap")
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory) / "root"
        debootstrap(root)
        archive = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        imported = subprocess.run(
            ["docker", "import", "--change", 'CMD ["bash"]', "-", IMAGE],
            stdin=archive.stdout,
            capture_output=True,
            text=True,
        )
        archive.stdout.close()
        if archive.wait() != 0 or imported.returncode != 0:
            raise Unavailable(f"docker import failed: {imported.stderr}")
    return f"{IMAGE} was made with debootstrap"


def build_network():
    """The Docker network on which apt in a container reaches its mirror."""
    for network in ("default", "host"):
        tried = run(
            "docker", "run", "--rm", "--network", network, IMAGE, "apt-get", "update", "-q",
            "-o", "APT::Update::Error-Mode=any", timeout=180,
        )
        if tried.returncode == 0:
            return network
    raise Unavailable("apt in a container reaches no mirror:\n" + tried.stdout[-500:])


if __name__ == "__main__":
    try:
        print(ensure())
        print("network for builds:", build_network())
    except Unavailable as error:
        sys.exit(str(error))
