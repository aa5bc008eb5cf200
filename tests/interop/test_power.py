"""kill -9 of both processes at once while a client writes at full speed: whatever the broker's health
page had called durable comes back. HOLDFAST_LONG=1: 200 rounds."""

import time

from conftest import LONG
from processes import wait_until

ROUNDS = 200 if LONG else 2


def test_what_was_called_durable_comes_back(make_server, new_client):
    # No auto-save: what comes back comes from the history.
    server = make_server(SAVE_INTERVAL=604800).start()
    writer = new_client('writer 0')
    marker, ballast = writer.host(server.port, [{'count': 0}, {'blob': b'x' * 20_000}])
    behind = []
    for turn in range(ROUNDS):
        # Nobody else does anything: each edit is one record. Their difference at quiet:
        seq = server.wait_durable([writer.name])['position']['seq']
        count = reported = writer.content(marker)['count']
        first = seq - count
        end = time.monotonic() + 0.3 + 0.13 * (turn % 7)
        while time.monotonic() < end:
            for _ in range(20):
                count += 1
                writer.edit(marker, {'count': count})
            reported = max(reported, server.broker.health()['durable']['seq'] - first)
        behind.append(count - reported)
        server.snapshotter.kill9()
        server.broker.kill9()
        writer.kill9()
        server.start()
        server.wait_serving()
        writer = new_client(f'writer {turn + 1}')
        writer.join(server.port)
        found = writer.content(marker)['count']
        assert reported <= found <= count, f'round {turn}: {reported} was durable, {found} came back'
        assert writer.content(ballast) == {'blob': b'x' * 20_000}
    print('edits not yet called durable at each kill:', behind)
    assert any(behind), 'not once was it killed in the middle of writing'
