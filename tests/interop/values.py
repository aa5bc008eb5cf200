"""Python data of all the kinds a session carries: made from a seed, changed from a seed, and
written as one canonical text.

The canonical text is what the tests compare. It names the type of every value, so that True and
1, a list and a tuple, b'x' and 'x' differ, and it does not depend on the order of dicts and sets.
"""

import base64
import pickle


def encode(value):
    return base64.b64encode(pickle.dumps(value, protocol=4)).decode('ascii')


def decode(text):
    return pickle.loads(base64.b64decode(text))


def canonical(value, above=()):
    """`above`: the containers that the value is in, one of which it may be."""
    kind = type(value).__name__
    for levels, container in enumerate(reversed(above), 1):
        if value is container:
            return f'{kind}({levels} above)'
    if isinstance(value, dict):
        items = sorted((canonical(key), canonical(item, (*above, value))) for key, item in value.items())
        return f'{kind}{{' + ', '.join(f'{key}: {item}' for key, item in items) + '}'
    if isinstance(value, (list, tuple)):
        return f'{kind}(' + ', '.join(canonical(item, (*above, value)) for item in value) + ')'
    if isinstance(value, (set, frozenset)):
        return f'{kind}<' + ', '.join(sorted(canonical(item) for item in value)) + '>'
    return f'{kind}:{value!r}'


def canonical_node(node):
    """Owner, dependencies in order, and data of one node of the library."""
    return [node.owner, list(node.dependencies or []), canonical(node.data)]


def canonical_graph(graph):
    """uuid -> canonical node. Dependencies that name no node are left out: the library itself
    leaves them behind when a delete and an edit of the parent cross."""
    text = {}
    for uuid, node in graph.items():
        owner, dependencies, data = canonical_node(node)
        text[uuid] = [owner, [name for name in dependencies if name in graph], data]
    return text


def nobodys(graph):
    """As a canonical graph is after a restart: nobody owns anything."""
    return {uuid: ['COMMON', *rest] for uuid, (_, *rest) in graph.items()}


def differences(left, right, limit=5):
    """What differs between two canonical graphs, in words, or '' if nothing does."""
    lines = []
    for uuid in sorted(set(left) | set(right)):
        if uuid not in left:
            lines.append(f'{uuid}: only on the right')
        elif uuid not in right:
            lines.append(f'{uuid}: only on the left')
        elif left[uuid] != right[uuid]:
            for name, a, b in zip(('owner', 'dependencies', 'data'), left[uuid], right[uuid]):
                if a != b:
                    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y),
                              min(len(a), len(b)))
                    start = max(0, at - 60)
                    lines.append(f'{uuid}: {name} differs at {at}:\n'
                                 f'    left  ...{a[start:at + 100]}\n'
                                 f'    right ...{b[start:at + 100]}')
    if len(lines) > limit:
        lines = lines[:limit] + [f'... and {len(lines) - limit} more']
    return '\n'.join(lines)


# Values by hand: one of each kind, the awkward ones included.
SCALARS = [
    None, True, False, 0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -2**31, 2**63, -2**63,
    2**64 + 7, 10**40, -10**40, 1 << 2000, 0.0, -0.0, 1.5, -2.25, 1e300, 5e-324,
    float('inf'), float('-inf'), '', 'a', "it's", 'say "hi"', 'ünïcödé ☃ 漢字 \U0001f600', 'x' * 300,
    'line\nbreak', 'back\\slash', b'', b'abc', b'\x00\xff' * 200, bytes(range(256)),
]


def mixed_content(index):
    """Content of the index-th node of a mixed session: nested, with every kind of value."""
    scalar = SCALARS[index % len(SCALARS)]
    return {
        'name': f'node {index}',
        'scalar': scalar,
        'matrix': [[float(row == column) for column in range(4)] for row in range(4)],
        'location': (index * 0.5, -float(index), 0.0),
        'nested': {
            'deep': {'deeper': {'deepest': [{'value': scalar, 'tuple': (1, (2, (3, scalar)))}]}},
            'list': [index, str(index), None, True, [1, 2, [3]]],
            "quote'd": {'say "hi"': index},
            7: 'an int key',
            (1, 'a'): 'a tuple key',
        },
        'set': {1, 2, 3, f'member {index}'},
        'frozen': frozenset({index, 'frozen', (1, 2)}),
        'sets': {'empty': set(), 'empty frozen': frozenset()},
        'bytes': bytes((index + i) % 256 for i in range(64 * (index % 5))),
        'big': (1 << (17 * (index % 40))) * (-1 if index % 2 else 1),
        'floats': [float('inf'), float('-inf'), -0.0, 1 / 3, index / 7],
        'empty': [{}, [], (), '', b'', None],
        'layers': [{'name': f'layer {i}', 'on': bool(i % 2), 'weights': [i, i + 0.5]}
                   for i in range(index % 6)],
        'items': list(range(index % 9)),
    }


def random_scalar(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(SCALARS)
    if kind == 1:
        return rng.randrange(-1000, 1000)
    if kind == 2:
        return rng.uniform(-10, 10)
    if kind == 3:
        return ''.join(rng.choice('abcdefgh ÄöΩ☃') for _ in range(rng.randrange(12)))
    if kind == 4:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(16)))
    if kind == 5:
        return rng.random() < 0.5
    if kind == 6:
        return None
    return rng.getrandbits(rng.randrange(1, 200))


def random_value(rng, depth=3):
    kind = rng.randrange(9) if depth > 0 else 0
    if kind < 4:
        return random_scalar(rng)
    size = rng.randrange(5)
    if kind < 6:
        return {f'k{rng.randrange(12)}': random_value(rng, depth - 1) for _ in range(size)}
    if kind == 6:
        return [random_value(rng, depth - 1) for _ in range(size)]
    if kind == 7:
        return tuple(random_value(rng, depth - 1) for _ in range(size))
    members = {rng.randrange(20) for _ in range(size)}
    return members if rng.random() < 0.7 else frozenset(members)


def mutated(rng, value, depth=0):
    """`value` with one small change somewhere inside it: an item added, changed or removed, or
    now and then a value of another type."""
    if depth > 0 and rng.random() < 0.08:
        return random_value(rng, 2)
    if isinstance(value, dict):
        changed = dict(value)
        kind = rng.randrange(6)
        if kind == 0 or not changed:
            changed[f'k{rng.randrange(12)}'] = random_value(rng, 2)
        elif kind == 1 and depth > 0:
            del changed[rng.choice(list(changed))]
        else:
            key = rng.choice(list(changed))
            changed[key] = mutated(rng, changed[key], depth + 1)
        return changed
    if isinstance(value, (list, tuple)):
        changed = list(value)
        kind = rng.randrange(7)
        if kind <= 1 or not changed:
            changed.insert(rng.randrange(len(changed) + 1), random_value(rng, 1))
        elif kind == 2:
            del changed[rng.randrange(len(changed))]
        elif kind == 3:
            changed.append(random_scalar(rng))
        else:
            at = rng.randrange(len(changed))
            changed[at] = mutated(rng, changed[at], depth + 1)
        return changed if isinstance(value, list) else tuple(changed)
    if isinstance(value, (set, frozenset)):
        changed = set(value)
        if changed and rng.random() < 0.5:
            changed.discard(rng.choice(sorted(changed, key=repr)))
        else:
            changed.add(rng.randrange(30))
        return changed if isinstance(value, set) else frozenset(changed)
    return random_scalar(rng)
