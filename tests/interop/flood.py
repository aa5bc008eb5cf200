"""Clients that are faster than any artist, for test_kill_loops.py; each is a process of its own.

    flood.py write PORT UUID    commits n = 1, 2, 3 .. to a node as fast as the broker takes them
    flood.py watch PORT UUID    receives what others are sent

Both join the running session, print one line when they have, and go on until their input ends; then
they print the last n that they sent or received, and when, as JSON.
"""

import json
import os
import pickle
import sys
import threading
import time
import types
import uuid

import zmq

from raw import COMMIT, ZmtpPeer, pickled

LINGER_SECONDS = 0.5  # without anything new


def delta(number):
    return pickled({'values_changed': {"root['content']['n']": {'new_value': number}}})


def write(peer, node, stop):
    number = 0
    peer.data.setsockopt(zmq.SNDTIMEO, 200)
    head = [pickled(COMMIT), node.encode(), pickled([])]
    while not stop.is_set():
        try:
            peer.send_data(head + [delta(number + 1)])
            number += 1
        except zmq.Again:
            pass  # the broker is gone
    return number


def watch(peer, node, stop):
    """Ends when it was told to and nothing more comes: what the broker's death has left in the
    connection counts."""
    last, count, began, at = 0, 0, None, time.time()
    while True:
        if not peer.data.poll(100):
            if stop.is_set() and time.time() - at > LINGER_SECONDS:
                break
            continue
        chunks = peer.data.recv_multipart()
        if len(chunks) == 4 and chunks[1] == node.encode():
            last = pickle.loads(chunks[3])['values_changed']["root['content']['n']"]['new_value']
            at = time.time()
            began = began or at
            count += 1
    return {'last': last, 'rate': count / max(at - began, 1e-3) if began else 0.0}


def main():
    what, port, node = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    peer = ZmtpPeer(port, types.SimpleNamespace(reports='0.9.10'))
    peer.data.setsockopt(zmq.RCVHWM, 1_000_000)
    peer.login(f'{what}-{uuid.uuid4()}')
    peer.join()
    print(json.dumps('joined'), flush=True)
    stop = threading.Event()

    def beat():
        while not stop.is_set():
            if peer.heartbeat.poll(200):
                peer.heartbeat.recv()
                peer.heartbeat.send(b'PONG')

    def until_end_of_input():
        sys.stdin.read()
        stop.set()
    for task in (beat, until_end_of_input):
        threading.Thread(target=task, daemon=True).start()
    result = write(peer, node, stop) if what == 'write' else watch(peer, node, stop)
    print(json.dumps(result), flush=True)
    os._exit(0)  # its threads and sockets end with it


if __name__ == '__main__':
    main()
