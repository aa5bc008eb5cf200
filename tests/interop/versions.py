"""Which clients work: the table that the tests follow, and from which README.md is checked."""

from collections import namedtuple

# package: as pip knows it; reports: what it says of itself, which is what logins compare;
# generation: how it connects (docs/PROTOCOL.md); tested: 'everything', or 'smoke': connect,
# init, edit, join, restart.
Version = namedtuple('Version', 'package reports generation tested')

VERSIONS = [
    Version('0.9.10', '0.9.10', 'zmtp', 'everything'),
    Version('0.9.12', '0.9.12', 'framed', 'smoke'),
    Version('0.10.2', '0.10.2', 'framed', 'smoke'),
    Version('0.10.3', '0.10.2', 'framed', 'everything'),
]
